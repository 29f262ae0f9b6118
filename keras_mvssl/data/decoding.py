"""Decoding of one image file to RGB of 8 bits."""

import numpy as np
from PIL import Image
from PIL import ImageOps

from keras_mvssl.data import record
from keras_mvssl.data.headers import MAX_PIXELS
from keras_mvssl.data.headers import ORIENTATION_TAG
from keras_mvssl.data.headers import PHOTOMETRIC
from keras_mvssl.data.headers import no_note
from keras_mvssl.data.headers import opened
from keras_mvssl.data.record import unreadable


def read_image(path, shape, max_pixels=MAX_PIXELS, note=no_note):
    """Decode one image to RGB, resized (shorter side) and cropped to `shape`.

    Gray, palette, CMYK and 16-bit images become RGB of 8 bits. Transparent parts are
    laid over white. The first picture of an animation is taken. The image is turned as
    its EXIF orientation says.

    Args:
        path: The file.
        shape: `(height, width, 3)`.
        max_pixels: Most pixels that are decoded. JPEG and JPEG 2000 files of more are
            decoded smaller.
        note: Optional function of a `record.Kind` and the path, called for what was
            changed.

    Raises:
        ValueError: If the file cannot be decoded.
        OSError: If it cannot be read now, for a reason that may pass.
    """
    try:
        with opened(path, max_pixels) as image:
            image = _eight_bits(image, lambda kind: note(kind, path))
            return np.asarray(_on_white(_cropped(image, shape)))
    except Exception as error:  # A file may hold any bytes, so any error may occur.
        raise unreadable(path, error) from error


def _eight_bits(image, note):
    """Decode to mode RGB or L or, with transparent parts, RGBA, and turn upright."""
    is_deep = _has_deep_colors(image)
    _scale_transparent_color(image)
    image.load()
    if image.getexif().get(ORIENTATION_TAG, 1) != 1:
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        return _from_deep_gray(image, note)
    if image.mode == "F":
        raise ValueError(f"it has more than 16 bits a channel (mode {image.mode})")
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            note(record.TRANSPARENT)
        else:
            image = image.convert("RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")  # A copy; the others are resized as they are.
    if is_deep and np.max(image.getextrema()[:3]) <= 127:
        note(record.DARK)
    return image


def _from_deep_gray(image, note):
    """Return a gray image of up to 16 bits in 8: the upper ones of those it uses.

    A camera of 12 bits writes values up to 4095 into 16 bits.
    """
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"it has more than 16 bits a channel (mode {image.mode})")
    bits = max(8, high.bit_length())
    gray = (values.astype("uint16") >> (bits - 8)).astype("uint8")
    if bits > 8:
        note(record.gray_of(bits))
    if image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == 0:
        note(record.INVERTED)  # Pillow leaves them as they are.
        gray = 255 - gray
    if "transparency" in image.info:
        is_clear = values == image.info["transparency"]
        if is_clear.any():
            note(record.TRANSPARENT)
            gray[is_clear] = 255
    return Image.fromarray(gray)


def _has_deep_colors(image):
    """Return whether a file that is not decoded yet has colors of over 8 bits."""
    if image.format == "JPEG2000":
        start = image.fp.tell()
        image.fp.seek(0)
        head = image.fp.read(65536)
        image.fp.seek(start)
        # The bits of the first channel, less one, stand 42 bytes after this mark.
        depth = head.partition(b"\xff\x4f\xff\x51")[2][38:39]
        return bool(depth) and (depth[0] & 127) + 1 > 8
    layout = image.tile[0][3] if image.tile else ""
    if image.format == "PPM" and isinstance(layout, tuple):
        return isinstance(layout[1], int) and layout[1] > 255
    return ";16" in str(layout)


def _scale_transparent_color(image):
    """Scale the transparent color of a PNG to 8 bits, as Pillow scales the pixels."""
    color = image.info.get("transparency")
    if image.format != "PNG" or not image.tile:
        return
    layout = image.tile[0][3]
    if layout in ("L;2", "L;4"):
        image.info["transparency"] = color and color * 255 // (2 ** int(layout[2]) - 1)
    elif layout == "RGB;16B" and color is not None:
        image.info["transparency"] = tuple(value >> 8 for value in color)


def _cropped(image, shape):
    """Resize the shorter side and crop the centre."""
    height, width = shape[:2]
    if image.size == (width, height):
        return image
    scale = max(width / image.width, height / image.height)
    # The result shows this centred box of the original.
    w, h = width / scale, height / scale
    left, top = (image.width - w) / 2, (image.height - h) / 2
    # Rounding may put an edge outside by 1e-14.
    box = (
        max(left, 0),
        max(top, 0),
        min(left + w, image.width),
        min(top + h, image.height),
    )
    return image.resize((width, height), Image.Resampling.BILINEAR, box)


def _on_white(image):
    """Return an image in RGB, its transparent parts laid over white."""
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
