"""Checks of labelled data that several subpackages share."""

import numpy as np

from keras_mvssl._internal.pixels import check_pixels
from keras_mvssl._internal.pixels import host_array


def check_labelled(data, name):
    """Check that `data` consists of labelled images or labelled features.

    Args:
        data: `(inputs, labels)` arrays, or a `tf.data.Dataset` of such pairs.
        name: Name of the data in the error message.

    Raises:
        ValueError: For anything else, numbers of inputs and labels that differ, labels
            that are not whole numbers of at least 0, or images outside [0, 255].
    """
    if hasattr(data, "element_spec"):
        spec = data.element_spec
        is_pair = isinstance(spec, tuple) and len(spec) == 2
        if not is_pair or [part.shape.rank for part in spec] != [3, 0]:
            raise ValueError(
                f"`{name}` must be a data set of pairs (image, label) of shapes "
                f"(H, W, C) and (), not batched. Received: element_spec={spec}"
            )
        return
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise ValueError(
            f"`{name}` must be labelled: a pair (inputs, labels). "
            f"Received: {name} of type {type(data).__name__}"
        )
    inputs = as_array(host_array(data[0], name), name)
    labels = as_array(data[1], name)
    if labels.ndim != 1 or len(labels) != len(inputs) or len(labels) == 0:
        raise ValueError(
            f"`{name}` must hold one label for each input. "
            f"Received: inputs.shape={inputs.shape}, labels.shape={labels.shape}"
        )
    check_labels(labels, name)
    if inputs.ndim == 4:
        check_pixels(inputs, name)


def as_array(values, name):
    """Return an array-like as an array; raise ValueError for anything else.

    Args:
        values: An array, a list of numbers, or a tensor.
        name: Name of the values in the error message.
    """
    is_known = hasattr(values, "__array__") or isinstance(values, (list, tuple))
    try:
        array = np.asarray(values) if is_known else None
    except ValueError:
        array = None  # NumPy says that lists are ragged.
    if array is None or array.dtype == object or array.ndim == 0:
        raise ValueError(
            f"`{name}` must hold arrays. Received: {name} with {type(values).__name__}"
        )
    return array


def check_labels(labels, name):
    """Check that labels are whole numbers of at least 0.

    Args:
        labels: Array of any shape.
        name: Name of the data in the error message.

    Raises:
        ValueError: For labels of another type or below 0.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"The labels of `{name}` must be whole numbers. To turn names into "
            "numbers, use numpy.unique(labels, return_inverse=True)[1]. "
            f"Received: labels.dtype={labels.dtype}"
        )
    if labels.min() < 0:
        raise ValueError(
            f"The labels of `{name}` must be at least 0. "
            f"Received: smallest={labels.min()}"
        )


def check_classes(train_labels, test_labels):
    """Check that a classifier can be fitted to and tested with these labels.

    Raises:
        ValueError: For fewer than two classes in `train_labels`, or a test label that
            does not occur there.
    """
    classes = np.unique(train_labels)
    if len(classes) < 2:
        raise ValueError(
            "A probe needs at least two classes in `train`. "
            f"Received: labels={classes.tolist()}"
        )
    missing = np.setdiff1d(test_labels, classes)
    if len(missing):
        raise ValueError(
            "Every label of `test` must occur in `train`. "
            f"Received: labels {missing.tolist()} in test only"
        )
