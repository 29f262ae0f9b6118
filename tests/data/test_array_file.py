"""Labels, layouts and sizes of the arrays in `.npz` files."""

import zipfile

import numpy as np
import pytest

from keras_mvssl import data
from keras_mvssl.data import array_file

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 6, 3), "uint8")


def save(path, ids=None, images=IMAGES, **more):
    arrays = {"x_train": images, **more}
    if ids is not None:
        ids = np.asarray(ids)[np.arange(20) % len(ids)]
        arrays |= {"x_test": images, "y_train": ids, "y_test": ids}
    np.savez(path, **arrays)
    return f"npz:{path}"


@pytest.mark.parametrize(
    "ids",
    [
        np.array([3, 5_000_000]),
        np.array([3, 2**31 + 7]),
        np.array([2**64 - 1, 2**63, 5], "uint64"),
        np.array([7, 2**40], ">i8"),
        np.array([200, 4], "uint8"),
        np.array([0, 300], ">u2"),
    ],
)
def test_labels_are_numbered_in_the_order_of_their_ids(tmp_path, ids):
    splits = data.load(save(tmp_path / "x.npz", ids))
    names = tuple(str(int(i)) for i in sorted(ids.tolist()))
    assert splits.class_names == names and splits.num_classes == len(ids)
    for _, labels in (splits.train, splits.test):
        assert labels.dtype == np.dtype("int32")
        expected = [names.index(str(int(ids[i % len(ids)]))) for i in range(20)]
        np.testing.assert_array_equal(labels, expected)


def test_ids_of_other_types_in_the_test(tmp_path):
    ids = np.arange(20) % 2
    more = dict(x_test=IMAGES, y_train=ids.astype("int64"), y_test=ids.astype("uint64"))
    splits = data.load(save(tmp_path / "x.npz", **more))
    np.testing.assert_array_equal(splits.test[1], ids)
    more["y_test"] = more["y_test"] + np.uint64(2**63)
    with pytest.raises(ValueError, match=f"y_test only, {2**63} among them"):
        data.load(save(tmp_path / "x.npz", **more))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(">u2"),
        lambda x: x.astype(">f4"),
        lambda x: np.asfortranarray(x.astype(">i8")),
    ],
)
def test_images_of_any_layout(tmp_path, change):
    given = change(IMAGES)
    images = data.load(save(tmp_path / "x.npz", images=given)).pretrain
    assert images.flags.c_contiguous and images.dtype.isnative
    assert images.dtype == given.dtype.newbyteorder("=")
    np.testing.assert_array_equal(images, IMAGES)


def test_arrays_larger_than_the_memory(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", x_train=np.zeros((1000, 8, 6, 3), "uint8"))
    size = 1000 * 8 * 6 * 3
    monkeypatch.setattr(array_file, "physical_memory", lambda: size + 1000)
    assert len(data.load(f"npz:{tmp_path / 'x.npz'}").pretrain) == 1000

    def read(*arguments, **more):
        raise AssertionError("nothing is to be read")

    monkeypatch.setattr(array_file, "physical_memory", lambda: size - 1)
    monkeypatch.setattr(np, "load", read)
    with pytest.raises(ValueError, match=r"take .* GiB.*at most .* GiB.*x.npz$"):
        data.load(f"npz:{tmp_path / 'x.npz'}")


def test_the_memory_of_the_machine():
    memory = array_file.physical_memory()
    assert memory is None or memory > 2**28


def test_a_header_that_promises_more(tmp_path):
    header = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 8, 8, 3)}
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w") as file,
        file.open("x_train.npy", "w") as member,
    ):
        np.lib.format.write_array_header_1_0(member, header)
    with pytest.raises(ValueError, match="cannot be read as .npz.*x.npz"):
        data.load(f"npz:{tmp_path / 'x.npz'}")


def test_other_arrays_are_told_of(tmp_path, capsys):
    name = save(tmp_path / "x.npz", x_val=IMAGES, y_val=np.arange(20))
    assert len(data.load(name).pretrain) == 20
    assert "x.npz: 2 arrays (first x_val)" in capsys.readouterr().out
