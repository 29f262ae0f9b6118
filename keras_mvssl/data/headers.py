"""Headers of image files: which are opened, how large they are, and what is refused."""

import contextlib
import os
import stat

from PIL import Image

from keras_mvssl.data import record
from keras_mvssl.data.record import unreadable

# The decoders that are used, and the suffixes of files that are taken for images. The
# content decides on the decoder. Pillow has more of them: one starts another program.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "AVIF": (".avif", ".avifs"),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MAX_PIXELS = 2**26  # 256 MiB at 4 bytes a pixel
ORIENTATION_TAG = 0x0112  # the EXIF tag of the orientation of an image
# Numbers of TIFF tags.
BITS, PHOTOMETRIC, DESCRIPTION, SAMPLES, PLANAR = 258, 262, 270, 277, 284
COLORMAP, SAMPLE_FORMAT, SUBSAMPLING = 320, 339, 530


def no_note(kind, path):
    """Take note of nothing: for callers that do not ask what was changed."""


def size_of(path, max_pixels=MAX_PIXELS, shrink=True, note=no_note):
    """Return `(height, width)` of an image in its EXIF orientation, from the header.

    Args:
        path: The file.
        max_pixels: Most pixels of an image.
        shrink: Whether JPEG and JPEG 2000 files of more may be decoded smaller.
        note: Optional function of a `record.Kind` and the path, called for what the
            header tells about parts that will not be read.

    Raises:
        ValueError: If the file is no image, or the image has too many pixels.
        OSError: If it cannot be read now, for a reason that may pass.
    """
    try:
        with opened(path, max_pixels, shrink, note) as image:
            _note_parts(image, path, note)
            size = image.height, image.width
            if image.format == "TIFF":
                return size  # in its orientation already
            if image.format == "PNG" and _has_late_exif(image.fp):
                image.load()
            # The method of PNG files would always decode the image, to look for EXIF.
            exif = Image.Image.getexif(image)
            return size[::-1] if exif.get(ORIENTATION_TAG, 1) >= 5 else size
    except Exception as error:  # A file may hold any bytes, so any error may occur.
        raise unreadable(path, error) from error


@contextlib.contextmanager
def opened(path, max_pixels, shrink=True, note=no_note):
    """Open an image and check its header; nothing is decoded yet."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is no regular file")  # To open a pipe would wait.
    with Image.open(path, formats=tuple(FORMATS)) as image:
        if _has_shrunk(image, max_pixels, shrink):
            note(record.SHRUNK, path)
        if image.format == "TIFF":
            _check_tiff(image)
        yield image


def _has_shrunk(image, max_pixels, shrink):
    """Set a large JPEG or JPEG 2000 file to be decoded smaller, and return whether.

    Other images of too many pixels are refused.
    """
    pixels = image.width * image.height
    # The decoder of JPEG 2000 takes 20 bytes a pixel, those of other formats 4 to 16.
    is_costly = shrink and image.format == "JPEG2000"
    limit = max_pixels // 5 if is_costly else max_pixels
    if pixels <= limit:
        return False
    power = next((n for n in (1, 2, 3) if pixels <= limit * 4**n), None)
    # A progressive file is held as a whole, whatever its scale.
    is_jpeg = image.format in ("JPEG", "MPO") and "progressive" not in image.info
    if not shrink or power is None or not (is_jpeg or is_costly):
        raise ValueError(
            f"it has {image.width}x{image.height} pixels, more than `max_pixels`, "
            f"{max_pixels}"
        )
    if is_jpeg:
        image.draft(None, (image.width >> power, image.height >> power))
    else:
        image.reduce = power
    return True


def _check_tiff(image):
    """Refuse files that Pillow decodes to other values than they hold."""
    tag = image.tag_v2.get
    bits, photometric = set(tag(BITS, (1,))), tag(PHOTOMETRIC, 0)
    if bits == {8} and set(tag(SAMPLE_FORMAT, (1,))) == {2}:
        raise ValueError("its values are signed")
    colors = tag(COLORMAP)
    if photometric == 3 and colors and 0 < max(colors) < 256:
        raise ValueError("the colors of its palette have 8 bits instead of 16")
    if image.info.get("compression") != "raw":
        return  # decoded by libtiff
    # Of the name of a layout, "RGB;16L", a plane is decoded by its letter alone, "R".
    if tag(PLANAR, 1) == 2 and (bits != {8} or photometric not in (1, 2, 3, 5)):
        raise ValueError(
            "its planes (PlanarConfiguration 2) are not of 8 bits, with zero as black"
        )
    if photometric == 6 and tag(SUBSAMPLING, (2, 2)) != (1, 1):
        raise ValueError("it is YCbCr, subsampled and not compressed")


def _has_late_exif(file):
    """Return whether a PNG may hold EXIF data behind its pixels, as ExifTool writes."""
    start, behind_pixels, found = file.tell(), False, False
    file.seek(8)
    while not found and len(head := file.read(8)) == 8:
        behind_pixels |= head[4:] == b"IDAT"
        found = behind_pixels and head[4:] in (b"eXIf", b"iTXt", b"zTXt")
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    file.seek(start)
    return found


def _note_parts(image, path, note):
    """Note pages, frames and channels that will not be read."""
    pages = getattr(image, "is_animated", False)
    if image.format == "TIFF":
        text = image.tag_v2.get(DESCRIPTION) or ""
        # ImageJ describes pages that follow the first without headers of their own.
        lines = text.splitlines() if str(text).startswith("ImageJ=") else ()
        counts = [line[7:] for line in lines if line.startswith("images=")]
        pages = pages or any(count.isdigit() and int(count) > 1 for count in counts)
        if image.tag_v2.get(SAMPLES, 1) > len(image.getbands()):
            note(record.CHANNELS, path)
    if pages:
        note(record.PAGES, path)
