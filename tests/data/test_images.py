import errno
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from keras_mvssl import data
from keras_mvssl.data import folder
from keras_mvssl.data.decoding import read_image
from keras_mvssl.data.headers import size_of

RED = (200, 40, 40)


def picture(mode="RGB", size=(20, 16), color=RED):
    return Image.new("RGB", size, color).convert(mode)


@pytest.mark.parametrize(
    "mode, suffix",
    [
        *(("RGB", x) for x in (".jpg", ".png", ".bmp", ".webp", ".tif", ".ppm")),
        *(("CMYK", ".jpg"), ("CMYK", ".tif"), ("P", ".png"), ("P", ".gif")),
        *(("RGBA", ".png"), ("RGBA", ".webp"), ("YCbCr", ".jpg")),
    ],
)
def test_color_of_any_kind_becomes_rgb(tmp_path, mode, suffix):
    path = tmp_path / f"image{suffix}"
    picture(mode).save(path)
    image = read_image(path, (16, 20, 3))
    assert image.shape == (16, 20, 3) and image.dtype == np.uint8
    np.testing.assert_allclose(image.mean((0, 1)), RED, atol=8)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16"])
def test_gray_of_any_kind_becomes_rgb(tmp_path, mode):
    path = tmp_path / "image.png"
    if mode == "I;16":
        Image.fromarray(np.full((16, 20), 128 * 257, "uint16")).save(path)
    else:
        picture(mode, color=(128,) * 3).save(path)
    image = read_image(path, (16, 20, 3))
    np.testing.assert_allclose(image.mean((0, 1)), [128] * 3, atol=1)


def test_of_an_animation_the_first_picture(tmp_path):
    first, second = picture(), picture(color=(0, 0, 255))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    image = read_image(tmp_path / "a.gif", (16, 20, 3))
    np.testing.assert_allclose(image.mean((0, 1)), RED, atol=8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_in_exif_is_followed(tmp_path, orientation):
    upright = np.zeros((16, 20, 3), "uint8")
    upright[:8, :10], upright[:8, 10:] = 255, 120  # tells all eight apart
    turn = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: np.rot90(x.transpose(1, 0, 2), 2),
        8: lambda x: np.rot90(x, -1),
    }[orientation]
    stored = Image.fromarray(np.ascontiguousarray(turn(upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert size_of(tmp_path / "a.png") == (16, 20)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (16, 20, 3)), upright)


def truncate(path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype="uint8")
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:4000])


def huge(path):
    picture(size=(120, 120)).save(path)


def deep(path):
    Image.fromarray(np.zeros((16, 20), "float32")).save(path, format="TIFF")


BAD = {
    "zero bytes": (lambda path: path.write_bytes(b""), "cannot identify image file"),
    "text": (lambda path: path.write_text("not an image"), "cannot identify"),
    "truncated": (truncate, "truncated|broken|Truncated"),
    "enormous": (huge, "decompression bomb"),
    "32 bits": (deep, "more than 16 bits"),
}


@pytest.fixture
def classes(tmp_path, monkeypatch):
    """A folder of two classes of ten images, and the path of one more."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(10):
            picture(color=(20 * i, 0, 100)).save(tmp_path / name / f"{i}.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    return tmp_path, tmp_path / "a/x.png"


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("streams", [False, True])
def test_bad_images(classes, monkeypatch, kind, streams):
    root, path = classes
    make, problem = BAD[kind]
    make(path)
    if streams:
        monkeypatch.setattr(folder, "fits_in_memory", lambda count, shape: False)

    def load(policy):
        splits = data.load(f"folder:{root}", image_size=16, on_bad_image=policy)
        images = splits.pretrain
        if streams:
            images = np.stack(list(images.as_numpy_iterator()))
            labels = np.array([y for _, y in splits.train.as_numpy_iterator()])
        else:
            labels = splits.train[1]
        return splits, images, labels

    with pytest.raises(Exception, match=f"(?s)cannot be read: .*({problem}).*x.png"):
        load("error")
    splits, images, labels = load("skip")
    (line,) = splits.bad_images
    assert "x.png" in line
    # In its place stands another image of its class, where all are streamed.
    count = 8 + 8 + (streams and kind in ("truncated", "32 bits"))
    assert images.shape == (count, 16, 16, 3) and labels.shape == (count,)
    assert images[..., 2].min() == images[..., 2].max() == 100


def test_an_image_that_vanishes(classes, monkeypatch):
    root, _ = classes
    monkeypatch.setattr(folder, "fits_in_memory", lambda count, shape: False)
    name = f"folder:{root}"
    splits = data.load(name, image_size=16, on_bad_image="skip")
    strict = data.load(name, image_size=16)
    for path in (root / "a").glob("[0-4].png"):
        path.unlink()
    images = np.stack(list(splits.pretrain.as_numpy_iterator()))
    assert len(images) == 16 and 1 <= len(splits.bad_images) <= 5
    with pytest.raises(Exception, match="(?s)cannot be read.*No such file"):
        list(strict.pretrain.as_numpy_iterator())


@pytest.mark.parametrize("where", ["headers", "decoding", "folders"])
def test_an_error_that_may_pass_drops_no_image(classes, monkeypatch, where):
    root, _ = classes
    name = f"folder:{root}"
    monkeypatch.setattr(folder, "fits_in_memory", lambda count, shape: False)
    splits = data.load(name, image_size=16, on_bad_image="skip")
    module, function = ("os", "scandir") if where == "folders" else ("os", "stat")
    real = getattr(os, function)
    wanted = root / "a" if where == "folders" else root / "a/3.png"

    def fail(path, *args, **kwargs):
        if str(path) == str(wanted):
            raise OSError(errno.ENOTCONN, "not connected", str(path))
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.{function}", fail)
        with pytest.raises(Exception, match=f"(?s)not connected.*{wanted.name}"):
            if where == "decoding":
                list(splits.pretrain.as_numpy_iterator())
            else:
                data.load(name, image_size=16, on_bad_image="skip")
    assert not splits.bad_images


def test_no_readable_image_at_all(tmp_path):
    (tmp_path / "x.png").write_text("text")
    with pytest.raises(ValueError, match="no images"):
        data.load(f"folder:{tmp_path}", image_size=16, on_bad_image="skip")


def test_refuses_another_policy(tmp_path):
    with pytest.raises(ValueError, match="Received: on_bad_image='ignore'"):
        data.load(f"folder:{tmp_path}", on_bad_image="ignore")


@pytest.mark.parametrize("streams", [False, True])
def test_names_of_any_characters(tmp_path, monkeypatch, streams):
    names = [b'a, "b" <c>', "ünï cödé\n\t日本".encode(), b"not \xff utf-8"]
    for name in names:
        made = os.path.join(os.fsencode(tmp_path), name)
        try:
            os.mkdir(made)
        except OSError:
            pytest.skip("The file system takes UTF-8 only.")
        for i in range(5):
            with open(os.path.join(made, b"%d \xe9.png" % i), "wb") as file:
                picture().save(file, format="PNG")
    if streams:
        monkeypatch.setattr(folder, "fits_in_memory", lambda count, shape: False)
    splits = data.load(f"folder:{tmp_path}", image_size=16)
    assert len(splits.class_names) == 3
    "".join(splits.class_names).encode("utf-8")  # Text, whatever the bytes were.
    images = splits.pretrain
    images = list(images.as_numpy_iterator()) if streams else images
    assert len(images) == 12


@given(
    st.binary(max_size=400),
    st.sampled_from(
        [
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"\xff\xd8\xff\xe0\x00\x10JFIF",
            b"BM",
            b"II*\x00",
            b"RIFF____WEBP",
            b"P6 ",
        ]
    ),
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_image_or_a_clear_error(tmp_path_factory, content, start):
    path = tmp_path_factory.mktemp("fuzz") / "x.png"
    path.write_bytes(start + content)
    for read in (size_of, lambda path: read_image(path, (8, 8, 3))):
        try:
            read(path)
        except ValueError as error:
            assert str(error).endswith(f"Received: {path}")
