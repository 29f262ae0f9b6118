"""Checks of features that several probes share."""

import numpy as np

from keras_mvssl._internal.checks import check_classes
from keras_mvssl._internal.checks import check_labelled

Labelled = tuple[np.ndarray, np.ndarray]


def as_features(train, test):
    """Labelled features as float32 matrices and label vectors, once they are sound.

    Args:
        train, test: `(features, labels)`, `(N, ...)` and `(N,)`.

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
                f"The features of `{name}` must be finite. Received: {bad} values that "
                f"are not, of {data[0].size}"
            )
    if not train[0].shape[1]:
        raise ValueError("`train` has no features. Received: shape=(N, 0)")
    if train[0].shape[1] != test[0].shape[1]:
        raise ValueError(
            "`train` and `test` must have the same features. Received: "
            f"{train[0].shape[1]} in train, {test[0].shape[1]} in test"
        )
    check_classes(train[1], test[1])
    return train, test
