"""Arrays in files that anyone may have written."""

import io
import zipfile

import numpy as np
import pytest

from keras_mvssl._internal.npz import read_npz


def npz(path, **members):
    """Write members, arrays or bytes, as `numpy.savez` writes arrays."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            if not isinstance(content, bytes):
                stream = io.BytesIO()
                np.save(stream, content)
                content = stream.getvalue()
            file.writestr(f"{name}.npy", content)
    return path


def header(shape):
    """Return the beginning of an array of this shape, without its numbers."""
    stream = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()


def test_arrays_are_read(tmp_path):
    given = {"a": np.arange(3), "b": np.float32(1), "c": np.zeros((2, 0))}
    found, others = read_npz(npz(tmp_path / "a.npz", **given))
    assert others == []
    assert set(found) == set(given)
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros(2000, "uint8"), "of at most 9.31e-07 GiB"),  # small when compressed
        (header((10**12,)), "shorter than it says"),
        (header((10**30,)), "shorter than it says"),
        (b"text", "ValueError"),
    ],
    ids=["large", "promised", "endless", "text"],
)
def test_arrays_are_bounded(tmp_path, array, message):
    path = npz(tmp_path / "a.npz", a=array)
    with pytest.raises(ValueError, match=f"{message}.*Received: path={path}"):
        read_npz(path, most=1000)


def test_arrays_hold_no_objects(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{}], object))
    with pytest.raises(ValueError, match=r"Received: path=.*a.npz"):
        read_npz(tmp_path / "a.npz")


def test_names_that_are_asked_for(tmp_path):
    path = npz(tmp_path / "a.npz", a=np.arange(3), b=np.zeros(2000), c=b"text")
    found, others = read_npz(path, most=1000, names=("z", "a"))
    assert list(found) == ["a"] and others == ["b", "c"]


def test_no_array_hides_behind_another(tmp_path):
    path = npz(tmp_path / "a.npz", a=np.arange(3))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("a", b"another of the same name")
    with pytest.raises(ValueError, match=f"have one name.*Received: path={path}"):
        read_npz(path)
