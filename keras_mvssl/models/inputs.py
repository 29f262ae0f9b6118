"""What `fit`, `evaluate` and `predict` are given: checks before time is spent."""

import math

import keras
from keras import ops

from keras_mvssl import distribution
from keras_mvssl._internal.checks import check_pixels


def check_views(x, name, batch_size, validation_split=0):
    """Refuses arrays and data sets of views that would fail later, or in silence."""
    check_pixels_of(x, name)
    if distribution.processes()[1] > 1 and not hasattr(x, "steps_per_epoch"):
        raise ValueError(
            "Each process needs its own part of the data: give it what "
            "`keras_mvssl.data.multiview` or `data.batches` makes of it. "
            f"Received: {name} of type {type(x).__name__}"
        )
    check_parts(x, name, batch_size, validation_split)
    if hasattr(x, "shape"):
        size = 32 if batch_size is None else batch_size
        if size < 2:
            raise ValueError(
                "`batch_size` must be at least 2: the loss needs the statistics of a "
                f"batch. Received: batch_size={batch_size}"
            )
        trained = math.floor(len(x) * (1 - validation_split))
        for count in (trained, len(x) - trained):
            if count % size == 1:
                raise ValueError(
                    f"{count} images in batches of {size} leave a last batch of one, "
                    "which has no statistics. Leave one image out or choose another "
                    f"`batch_size`. Received: {name}.shape={tuple(x.shape)}, "
                    f"batch_size={batch_size}, validation_split={validation_split}"
                )


def check_parts(x, name, batch_size, validation_split=0):
    """Refuses batches that several devices cannot share equally."""
    if distribution.replicas() == 1 or distribution.processes()[1] > 1:
        return
    if hasattr(x, "steps_per_epoch"):
        return  # of this package, and checked
    sizes = [None]
    if hasattr(x, "shape"):
        size = batch_size or 32
        trained = math.floor(len(x) * (1 - validation_split))
        parts = [count for count in (trained, len(x) - trained) if count]
        sizes = [min(size, count) for count in parts]
        sizes += [count % size for count in parts if count % size]
    elif hasattr(x, "element_spec"):
        spec = x.element_spec
        sizes = [(spec[0] if isinstance(spec, tuple) else spec).shape[0]]
    for size in sizes:
        if size is None:
            raise ValueError(
                "Several devices share batches of one known size: of an array, of "
                "`data.multiview` or `data.batches`, or of a tf.data.Dataset with "
                f"`batch(..., drop_remainder=True)`. Received: {name}={x!r:.80}"
            )
        distribution.check_batch(size)


def check_pixels_of(x, name):
    """Checks an array, or the first batch of what can be read from its start again."""
    first = None
    if hasattr(x, "shape"):
        first = x
    elif hasattr(x, "element_spec"):
        spec = x.element_spec
        spec = spec[0] if isinstance(spec, tuple) else spec
        if getattr(spec, "dtype", "uint8") != "uint8":
            first = next(iter(x.take(1).as_numpy_iterator()), None)
    elif isinstance(x, keras.utils.PyDataset):
        first = x[0]
    elif hasattr(x, "__iter__") and not hasattr(x, "__next__"):  # torch's DataLoader
        first = next(iter(x), None)
    if isinstance(first, (tuple, list)):
        first = first[0]
    if first is not None:
        check_pixels(ops.convert_to_numpy(first), name)


def tell_steps(x, kwargs, argument):
    """Fills in the length of an epoch of an endless data set, or asks for it."""
    if kwargs.get(argument) is not None:
        return
    steps = getattr(x, "steps_per_epoch", None)
    if steps is None and not hasattr(x, "element_spec"):
        return
    kwargs[argument] = steps
    if steps is None and int(x.cardinality()) == -1:  # tf.data's INFINITE
        raise ValueError(
            f"The data set never ends: say how many batches to take with `{argument}`. "
            f"Received: {x}"
        )
