"""Data sets in NumPy files of several arrays (.npz)."""

import math
import os
import pathlib

import numpy as np

from keras_mvssl._internal.checks import check_labelled
from keras_mvssl._internal.npz import read_npz
from keras_mvssl._internal.pixels import check_pixels
from keras_mvssl.data.record import say
from keras_mvssl.data.splits import Splits

IMAGES = ("x_train", "x_test", "x_pretrain")
ARRAYS = (*IMAGES, "y_train", "y_test")


def load(name, path):
    """Load an `.npz` file.

    Returns:
        `Splits`, and a function that returns the labels of `pretrain`, or None.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise ValueError(
            f"`name` must lead to a file; no such file exists. Received: name={name!r}"
        )
    arrays = _read(path)
    x = arrays["x_train"]
    for key in IMAGES:
        images = arrays.get(key, x)
        if images.ndim != 4 or images.shape[1:] != x.shape[1:] or not len(images):
            raise ValueError(
                f"`{key}` of `{path}` must have shape (N, H, W, C), the last three as "
                f"x_train. Received: {key}.shape={images.shape}, "
                f"x_train.shape={x.shape}"
            )
        check_pixels(images, f"{key} of {path}")
    has_labels = "y_train" in arrays or "y_test" in arrays
    if has_labels and not {"y_train", "x_test", "y_test"} <= set(arrays):
        raise ValueError(
            f"For probes, `{path}` must hold y_train, x_test and y_test, or else no "
            f"labels. Received: {sorted(arrays)}"
        )
    pretrain = arrays.get("x_pretrain", x)
    if not has_labels:
        return Splits(name, pretrain, None, None, x.shape[1:]), lambda: None
    ids = {}
    for part in ("train", "test"):
        y = arrays[f"y_{part}"]
        ids[part] = y.reshape(-1) if y.shape[1:] == (1,) else y
        check_labelled((arrays[f"x_{part}"], ids[part]), f"{part} of {path}")
    labels, names = _numbered(ids, path)
    splits = Splits(
        name,
        pretrain,
        (x, labels["train"]),
        (arrays["x_test"], labels["test"]),
        x.shape[1:],
        names,
    )
    return splits, lambda: labels["train"] if pretrain is x else None


def _numbered(ids, path):
    """Return labels from 0 on in place of ids of any size, and the ids as names."""
    distinct = {part: np.unique(y, return_inverse=True) for part, y in ids.items()}
    # As ints of Python: NumPy would turn int64 beside uint64 into floats.
    values = {part: [int(i) for i in found] for part, (found, _) in distinct.items()}
    missing = sorted(set(values["test"]) - set(values["train"]))
    if missing:
        raise ValueError(
            f"Every label in y_test of `{path}` must occur in y_train. "
            f"Received: {len(missing)} labels in y_test only, {missing[0]} among them"
        )
    number = {i: label for label, i in enumerate(values["train"])}
    labels = {
        part: np.array([number[i] for i in values[part]], "int32")[inverse]
        for part, (_, inverse) in distinct.items()
    }
    return labels, tuple(str(i) for i in values["train"])


def _read(path):
    """Return the arrays of a file that are known by their names, in native order."""
    arrays, others = read_npz(path, physical_memory() or math.inf, ARRAYS)
    if "x_train" not in arrays:
        raise ValueError(
            f"`{path}` must hold an array x_train. Received: {[*arrays, *others]}"
        )
    if others:
        say(f"Left out of {path}: {len(others)} arrays (first {others[0]}).")
    return {name: _native(array) for name, array in arrays.items()}


def _native(array):
    """Return an array in the byte order of this machine, one row after the other."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def physical_memory():
    """Return the bytes of memory of this machine; None if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
