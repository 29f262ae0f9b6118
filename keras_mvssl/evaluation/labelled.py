"""Checks of labelled features that several probes share."""

import numpy as np

from keras_mvssl._internal.checks import check_classes
from keras_mvssl._internal.checks import check_labelled

Labelled = tuple[np.ndarray, np.ndarray]


def as_features(train, test):
    """Check labelled features, and return float32 matrices and vectors of labels.

    Args:
        train: Pair `(features, labels)` of shapes `(N, ...)` and `(N,)`.
        test: Pair like `train`.

    Returns:
        The pairs `train` and `test`, with features `(N, F)` and labels `(N,)`.

    Raises:
        ValueError: For counts that differ, features that are not finite, fewer than
            two classes, or a test label that no training example has.
    """
    check_labelled(train, "train")
    check_labelled(test, "test")
    train, test = (
        (np.asarray(x, "float32").reshape(len(x), np.size(x) // len(x)), np.asarray(y))
        for x, y in (train, test)
    )
    for name, data in (("train", train), ("test", test)):
        bad = int(np.count_nonzero(~np.isfinite(data[0])))
        if bad:
            raise ValueError(
                f"The features of `{name}` must be finite. Received: {bad} values of "
                f"{data[0].size} that are not finite"
            )
    if not train[0].shape[1]:
        raise ValueError(
            "`train` must have at least one feature per example. "
            f"Received: features.shape={train[0].shape}"
        )
    if train[0].shape[1] != test[0].shape[1]:
        raise ValueError(
            "`train` and `test` must have the same features. Received: "
            f"{train[0].shape[1]} features in train, {test[0].shape[1]} in test"
        )
    check_classes(train[1], test[1])
    return train, test
