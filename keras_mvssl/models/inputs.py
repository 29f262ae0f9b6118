"""Checks of the parts and the data of a model, made before time is spent on them."""

import contextlib
import math

import keras
from keras import ops

from keras_mvssl import distribution
from keras_mvssl._internal.checks import check_pixels
from keras_mvssl.views import RandomViews
from keras_mvssl.views.augmentation import check_channels

# The batch size that Keras uses for arrays where none is given.
DEFAULT_BATCH_SIZE = 32


def output_size(model, name, rank):
    """Return the number of outputs of an encoder or projector, after checking it.

    Args:
        model: The encoder or the projector.
        name: Name of the argument in error messages.
        rank: int. The rank of inputs that the model must take.
    """
    shapes = None
    if isinstance(model, keras.Model) and model.built:
        # Models without a graph of layers have no `input_shape`.
        with contextlib.suppress(AttributeError):
            shapes = model.input_shape, model.output_shape
    if shapes is None:
        raise ValueError(
            f"`{name}` must be a built keras.Model that knows its shapes: functional "
            "or Sequential with an Input. Wrap another model: `keras.Model(inputs, "
            "model(inputs))` with `inputs = keras.Input(...)`. "
            f"Received: {name}={model}"
        )
    taken, given = shapes
    if len(taken) != rank or len(given) != 2 or given[-1] is None:
        raise ValueError(
            f"`{name}` must take inputs of rank {rank} and return a known number of "
            f"outputs (N, F), pooled. Received: {name}.input_shape={taken}, "
            f"{name}.output_shape={given}"
        )
    return given[-1]


def check_views_layer(views, encoder):
    """Check that `views` is a layer whose views the encoder can take."""
    if not isinstance(views, RandomViews):
        raise ValueError(
            "`views` must be a RandomViews, or None for a model that is given views. "
            f"Received: views={views!r}"
        )
    taken, made = encoder.input_shape[1:], views.augmentation.size
    if any(side not in (None, new) for side, new in zip(taken, made, strict=False)):
        raise ValueError(
            f"The encoder must take views of size {made}. "
            f"Received: encoder.input_shape={encoder.input_shape}"
        )
    if taken[-1] is not None:
        check_channels(views.augmentation, taken)


def check_input(x, name, batch_size, validation_split=0):
    """Check images or views for `fit` and `evaluate`.

    Args:
        x: An array, a data set, or any other input of `keras.Model.fit`.
        name: Name of the input in error messages.
        batch_size: int or None. Applies to arrays.
        validation_split: Share of an array that `fit` holds out, in [0, 1).

    Raises:
        ValueError: For pixels outside [0, 255], batches of one image, batches that
            several devices cannot share equally, and, with several processes, data that
            is not split between them.
    """
    check_first_pixels(x, name)
    if distribution.processes()[1] > 1 and not hasattr(x, "steps_per_epoch"):
        raise ValueError(
            "Each process needs its own part of the data: with several processes, "
            f"`{name}` must be made by `keras_mvssl.data.multiview` or "
            f"`keras_mvssl.data.batches`. Received: {name} of type {type(x).__name__}"
        )
    check_equal_shares(x, name, batch_size, validation_split)
    if hasattr(x, "shape"):
        size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        if size < 2:
            raise ValueError(
                "`batch_size` must be at least 2: the loss computes statistics over "
                f"the batch. Received: batch_size={batch_size}"
            )
        trained = math.floor(len(x) * (1 - validation_split))
        for count in (trained, len(x) - trained):
            if count % size == 1:
                raise ValueError(
                    f"{count} images in batches of {size} leave a last batch of one "
                    "image, which has no statistics. Leave one image out or choose "
                    f"another `batch_size`. Received: {name}.shape={tuple(x.shape)}, "
                    f"batch_size={batch_size}, validation_split={validation_split}"
                )


def check_equal_shares(x, name, batch_size, validation_split=0):
    """Check that several devices can share each batch equally."""
    if distribution.replicas() == 1 or distribution.processes()[1] > 1:
        return
    if hasattr(x, "steps_per_epoch"):
        return  # Streams of this package have checked their batches already.
    sizes = [None]
    if hasattr(x, "shape"):
        size = batch_size or DEFAULT_BATCH_SIZE
        trained = math.floor(len(x) * (1 - validation_split))
        counts = [count for count in (trained, len(x) - trained) if count]
        sizes = [min(size, count) for count in counts]
        sizes += [count % size for count in counts if count % size]
    elif hasattr(x, "element_spec"):
        spec = x.element_spec
        sizes = [(spec[0] if isinstance(spec, tuple) else spec).shape[0]]
    for size in sizes:
        if size is None:
            raise ValueError(
                f"`{name}` must have batches of one known size, which several devices "
                "can share: use an array, `keras_mvssl.data.multiview` or "
                "`keras_mvssl.data.batches`, or a tf.data.Dataset with "
                f"`batch(..., drop_remainder=True)`. Received: {name}={x!r:.80}"
            )
        distribution.check_batch(size)


def check_first_pixels(x, name):
    """Check the pixels of an array, or of the first batch of a data set.

    Iterators are not checked: they cannot be read from the start again.
    """
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
    elif hasattr(x, "__iter__") and not hasattr(x, "__next__"):
        first = next(iter(x), None)  # e.g. torch's DataLoader
    if isinstance(first, (tuple, list)):
        first = first[0]
    if first is not None:
        check_pixels(ops.convert_to_numpy(first), name)


def fill_in_steps(x, kwargs, argument):
    """Set the number of batches of an epoch in `kwargs`, if `x` defines it.

    Args:
        x: The input of `fit`, `evaluate` or `predict`.
        kwargs: Arguments of that method, changed in place.
        argument: Name of the argument to set, e.g. `"steps_per_epoch"`.

    Raises:
        ValueError: For an endless data set that does not define its steps.
    """
    if kwargs.get(argument) is not None:
        return
    steps = getattr(x, "steps_per_epoch", None)
    if steps is None and not hasattr(x, "element_spec"):
        return
    kwargs[argument] = steps
    if steps is None and int(x.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise ValueError(
            "The data set never ends. Pass the number of batches to take as "
            f"`{argument}`. Received: {x}"
        )
