"""What the pixels of one file become, whatever its format, depth and layout."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_mvssl import data
from keras_mvssl.data import record
from keras_mvssl.data.decoding import read_image
from keras_mvssl.data.headers import FORMATS
from keras_mvssl.data.headers import SUFFIXES
from keras_mvssl.data.headers import size_of

SHAPE = (16, 20, 3)
RED = (200, 40, 40)


@pytest.fixture
def read(tmp_path):
    """A function that returns the pixels of an image, and what was noted of it.

    It takes a Pillow image, an array, or the bytes of a file.
    """

    def read(image, suffix=".tif", shape=SHAPE, **saved):
        path, notes = tmp_path / f"x{suffix}", set()
        if isinstance(image, bytes):
            path.write_bytes(image)
        else:
            image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
            image.save(path, **saved)

        def note(kind, noted):
            assert noted == path
            notes.add(kind)

        assert size_of(path, note=note) == shape[:2]
        return read_image(path, shape, note=note), notes

    return read


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_read(tmp_path, suffix):
    name = next(name for name, suffixes in FORMATS.items() if suffix in suffixes)
    Image.new("L", (20, 16), 128).save(tmp_path / f"x{suffix.upper()}", format=name)
    pixels = data.load(f"folder:{tmp_path}").pretrain
    assert pixels.shape == (1, *SHAPE) and np.abs(pixels - 128.0).max() <= 3


@pytest.mark.parametrize("name", ["EPS", "PCX", "ICO", "SGI", "DDS", "TGA"])
def test_no_other_decoder_is_used(tmp_path, name):
    path = tmp_path / "x.png"
    Image.new("RGB", (32, 32), RED).save(path, format=name)
    Image.open(path).close()  # Pillow knows it.
    for reads in (size_of, lambda path: read_image(path, SHAPE)):
        with pytest.raises(ValueError, match="cannot identify.*Received.*x.png"):
            reads(path)


def test_a_file_may_be_named_as_another_format(read):
    pixels, _ = read(Image.new("RGB", (20, 16), RED), ".png", format="JPEG")
    assert np.abs(pixels - np.array(RED)).max() <= 8


def half_clear(mode):
    """The left half red and opaque, the right half green and transparent."""
    pixels = np.zeros((16, 20, 4), "uint8")
    pixels[:, :10], pixels[:, 10:] = (*RED, 255), (0, 255, 0, 0)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jp2", ".avif"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("shape", [SHAPE, (8, 10, 3)])
def test_transparent_parts_are_laid_over_white(read, tmp_path, suffix, mode, shape):
    pixels, notes = read(half_clear(mode), suffix)
    pixels = read_image(tmp_path / f"x{suffix}", shape)
    edge = shape[1] // 2
    assert pixels[:, edge + 2 :].min() >= 250 and record.TRANSPARENT in notes
    left = RED if mode == "RGBA" else [np.asarray(half_clear("L"))[0, 0]] * 3
    assert np.abs(pixels[:, : edge - 2] - np.array(left, int)).max() <= 8
    opaque, notes = read(Image.new(mode, (20, 16), "gray"), suffix)
    assert np.abs(opaque - 128.0).max() <= 3 and not notes


@pytest.mark.parametrize("suffix", [".png", ".gif"])
@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_transparent_colors_of_a_palette(read, suffix, transparency):
    if suffix == ".gif" and transparency != 1:
        return
    image = Image.fromarray(np.repeat([[0, 1]], 16, 0).repeat(10, 1).astype("uint8"))
    image.putpalette([*RED, 0, 255, 0])
    pixels, notes = read(image, suffix, transparency=transparency)
    assert (pixels[:, :10] == RED).all() and (pixels[:, 10:] == 255).all()
    assert notes == {record.TRANSPARENT}


def png(depth, color, row, *chunks, after=()):
    """The bytes of a PNG whose 16 rows are the same, with chunks before the pixels."""

    def chunk(kind, content):
        length, check = len(content), zlib.crc32(kind + content)
        return struct.pack(">I", length) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 20, 16, depth, color, 0, 0, 0)
    packed = zlib.compress((b"\0" + row) * 16)
    parts = (("IHDR", header), *chunks, ("IDAT", packed), *after, ("IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(k.encode(), x) for k, x in parts)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_gray_of_a_png(read, depth):
    row = (
        b"\0\1" * 20
        if depth == 16
        else np.packbits(
            (np.ones((20, 1), int) >> np.arange(depth)[::-1]) & 1
        ).tobytes()
    )
    pixels, notes = read(png(depth, 0, row, ("tRNS", b"\0\1")), ".png")
    assert (pixels == 255).all() and notes == {record.TRANSPARENT}


def test_a_transparent_color_of_a_deep_png(read):
    color = struct.pack(">3H", 1000, 20000, 30000)
    pixels, _ = read(png(16, 2, color * 20, ("tRNS", color)), ".png")
    assert (pixels == 255).all()


def test_the_orientation_behind_the_pixels_of_a_png(read):
    exif = Image.Exif()
    exif[0x0112] = 6
    late = png(8, 0, bytes(20), after=[("eXIf", exif.tobytes()[6:])])
    read(late, ".png", shape=(20, 16, 3))


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".avif", ".jpg"])
def test_the_size_of_a_turned_image(read, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((10, 30, 3), "uint8")
    stored[:, :15] = 255
    pixels, _ = read(stored, suffix, shape=(30, 10, 3), exif=exif)
    assert pixels[:13].min() > 240 and pixels[17:].max() < 15


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm", ".jp2"])
@pytest.mark.parametrize("bits", [8, 9, 12, 16])
def test_deep_gray_keeps_the_bits_it_uses(read, suffix, bits):
    values = np.linspace(0, 2**bits - 1, 320).reshape(16, 20).astype("uint16")
    pixels, notes = read(values, suffix)
    np.testing.assert_array_equal(pixels[..., 0], values >> (bits - 8))
    assert notes == ({record.gray_of(bits)} if bits > 8 else set())


def test_dark_colors_of_16_bits_are_told(read):
    for value, told in ((4095, True), (40000, False)):
        _, notes = read(png(16, 2, struct.pack(">H", value) * 60), ".png")
        assert notes == ({record.DARK} if told else set())


def tiff(planes, photometric=2, bits=8, samples=3, planar=1, **tags):
    """The bytes of a TIFF that is not compressed, one strip for each plane."""
    planes = [plane.tobytes() for plane in planes]
    values = {256: (20,), 257: (16,), 258: (bits,) * samples, 259: (1,)}
    values |= {262: (photometric,), 273: [0] * len(planes), 277: (samples,)}
    values |= {278: (16,), 279: [len(p) for p in planes], 284: (planar,)}
    values |= {int(name[1:]): value for name, value in tags.items()}
    end = 8 + 2 + 12 * len(values) + 4
    size = sum(4 * len(value) for value in values.values() if len(value) > 1)
    starts = np.cumsum([end + size, *values[279]])
    values[273] = starts[:-1].tolist()
    entries, more = b"", b""
    for tag, value in sorted(values.items()):
        text = isinstance(value, bytes)
        packed = value if text else struct.pack(f"<{len(value)}I", *value)
        place = packed if len(value) == 1 else struct.pack("<I", end + len(more))
        more += b"" if len(value) == 1 else packed.ljust(4 * len(value), b"\0")
        entries += struct.pack("<HHI", tag, 2 if text else 4, len(value)) + place
    head = b"II*\0" + struct.pack("<IH", 8, len(values))
    return head + entries + bytes(4) + more + b"".join(planes)


def plane(value, kind="uint8"):
    return np.full((16, 20), value, kind)


def test_planes_of_8_bits(read):
    pixels, _ = read(tiff([plane(value) for value in RED], planar=2))
    assert (pixels == RED).all()


@pytest.mark.parametrize(
    "content, message",
    [
        (tiff([plane(9000, "<u2")] * 3, bits=16, planar=2), "PlanarConfiguration 2"),
        (tiff([plane(9)], photometric=0, samples=1, planar=2), "zero as black"),
        (tiff([plane(200)], photometric=1, samples=1, t339=(2,)), "signed"),
        (tiff([plane(200)] * 2, photometric=6, t530=(2, 2)), "subsampled"),
        (tiff([plane(1)], photometric=3, samples=1, t320=[200] * 768), "palette"),
        (tiff([plane(-5, "<i2")], 1, 16, 1, t339=(2,)), "more than 16 bits"),
        (tiff([plane(70000, "<u4")], 1, 32, 1), "more than 16 bits"),
        (tiff([plane(0.5, "<f4")], 1, 32, 1, t339=(3,)), "more than 16 bits"),
    ],
)
def test_refuses_what_pillow_reads_as_something_else(tmp_path, content, message):
    path = tmp_path / "x.tif"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{message}.*Received: .*x.tif"):
        read_image(path, SHAPE)


def test_gray_of_16_bits_whose_zero_is_white(read):
    values = np.repeat([[0, 4095]], 16, 0).repeat(10, 1).astype("<u2")
    pixels, notes = read(tiff([values], photometric=0, bits=16, samples=1))
    assert (pixels[:, :10] == 255).all() and (pixels[:, 10:] == 0).all()
    assert notes == {record.gray_of(12), record.INVERTED}


def test_pages_frames_and_more_channels_are_told(read):
    first = Image.new("RGB", (20, 16), RED)
    more = dict(save_all=True, append_images=[Image.new("RGB", (20, 16))])
    for suffix in (".tif", ".gif", ".webp", ".png", ".avif"):
        pixels, notes = read(first, suffix, **more)
        assert np.abs(pixels - np.array(RED)).max() <= 8 and notes == {record.PAGES}
    stack = b"ImageJ=1.54\nimages=5\nslices=5\n\0"
    _, notes = read(tiff([plane(9)], photometric=1, samples=1, t270=stack))
    assert notes == {record.PAGES}
    four = np.stack([plane(9)] * 4, -1)
    assert read(tiff([four], samples=4, t338=(0,)))[1] == {record.CHANNELS}


def test_large_images_are_decoded_small_or_refused(tmp_path):
    def write(name, **how):
        Image.new("RGB", (200, 160), RED).save(tmp_path / name, **how)
        return tmp_path / name

    jpeg, notes = write("a.jpg"), []
    arguments = dict(max_pixels=2000, note=lambda kind, path: notes.append(kind))
    size_of(jpeg, **arguments)
    assert np.abs(read_image(jpeg, SHAPE, 2000) - np.array(RED)).max() <= 8
    jpeg_2000 = write("d.jp2")
    size_of(jpeg_2000, 10_000, note=arguments["note"])
    assert np.abs(read_image(jpeg_2000, SHAPE, 10_000) - np.array(RED)).max() <= 8
    jpeg_2000.unlink()
    assert notes == [record.SHRUNK] * 2
    for path, limit in (
        (write("b.png"), 2000),
        (write("c.jpg", progressive=True), 2000),  # held as a whole
        (jpeg, 400),  # too large at an eighth
    ):
        for call in (
            lambda path, limit: size_of(path, limit),
            lambda path, limit: read_image(path, SHAPE, limit),
        ):
            with pytest.raises(ValueError, match="200x160 pixels, more than `max_pix"):
                call(path, limit)
    with pytest.raises(ValueError, match=r"200x160 pixels.*Received: .*a.jpg"):
        (tmp_path / "b.png").unlink()
        data.load(f"folder:{tmp_path}", max_pixels=2000)  # nothing says how small
    splits = data.load(
        f"folder:{tmp_path}", image_size=16, max_pixels=2000, on_bad_image="skip"
    )
    assert len(splits.pretrain) == 1 and "c.jpg" in splits.bad_images[0]


def test_no_crop_fails_by_rounding(tmp_path):
    path = tmp_path / "x.bmp"
    for width in range(20, 120):
        Image.new("RGB", (width, 80), RED).save(path)
        for size in (1, 64, 67):
            assert (read_image(path, (size, size, 3)) == RED).all()
