"""Checks of the parts and the data of a model, made before time is spent on them."""

import contextlib
import math

import keras
from keras import ops

from keras_mvssl import distribution
from keras_mvssl._internal.pixels import check_batch
from keras_mvssl._internal.pixels import check_pixels
from keras_mvssl._internal.pixels import host_array
from keras_mvssl.losses.multi_view_loss import refuse_weights
from keras_mvssl.models.watched import first_part
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
    is_one = isinstance(taken, tuple) and isinstance(given, tuple)
    if not is_one or len(taken) != rank or len(given) != 2 or given[-1] is None:
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
    check_takes_views(encoder, views.augmentation)


def check_takes_views(encoder, augmentation, channels=None):
    """Check that an encoder takes the views that an `Augmentation` describes.

    Args:
        encoder: The encoder, checked by `output_size`.
        augmentation: The `Augmentation`.
        channels: Those of the images, if known.
    """
    output_size(encoder, "encoder", rank=4)
    taken, made = encoder.input_shape[1:], (*augmentation.size, channels)
    if any(None not in (a, b) and a != b for a, b in zip(taken, made, strict=False)):
        what = f"size {augmentation.size}"
        what += f" and {channels} channels" if channels else ""
        raise ValueError(
            f"The encoder must take views of {what}. "
            f"Received: encoder.input_shape={encoder.input_shape}"
        )
    if taken[-1] is not None:
        check_channels(augmentation, taken)


def checked_input(
    x, name, kwargs, steps, batch_size, validation_split=0, for_loss=True
):
    """Check the input of `fit`, `evaluate` or `predict` before time is spent on it.

    Args:
        x: An array, a data set, or any other input of `keras.Model.fit`.
        name: Name of the input in error messages.
        kwargs: Arguments of that method. The number of batches of an epoch is set in
            them, if `x` defines it.
        steps: Name of that argument, e.g. `"steps_per_epoch"`.
        batch_size: int or None. Applies to arrays.
        validation_split: Share of an array that `fit` holds out, in [0, 1).
        for_loss: Whether a loss is computed, which needs statistics over batches.

    Returns:
        The input; if it is an array, one that every backend takes.

    Raises:
        ValueError: For several inputs, pixels outside [0, 255], batches of one image,
            batches that several devices cannot share equally, endless data sets without
            a number of steps, and, with several processes, data that is not split
            between them.
    """
    x = host_array(x, name)
    refuse_structures(x, name)
    _check_first_pixels(x, name)
    if for_loss and distribution.processes()[1] > 1 and not _is_own(x):
        raise ValueError(
            "Each process needs its own part of the data: with several processes, "
            f"`{name}` must be made by `keras_mvssl.data.multiview` or "
            f"`keras_mvssl.data.batches`. Received: {name} of type {type(x).__name__}"
        )
    _check_equal_shares(x, name, batch_size, validation_split)
    if for_loss:
        _refuse_single_images(x, name, batch_size, validation_split)
    _fill_in_steps(x, kwargs, steps)
    return x


def checked_validation(kwargs, batch_size):
    """Check `validation_data` in the arguments of `fit`; return it if it is no array.

    An array is put into `kwargs`, as Keras takes it.
    """
    given = kwargs.get("validation_data")
    if given is None:
        return None
    if isinstance(given, (tuple, list)):
        refuse_weights("sample_weight", given[2] if len(given) > 2 else None)
        given = given[0]
    size = kwargs.get("validation_batch_size") or batch_size
    given = checked_input(given, "validation_data", kwargs, "validation_steps", size)
    if not hasattr(given, "shape"):
        return given
    kwargs["validation_data"] = (given, None)
    return None


def _is_own(x):
    """Return whether a stream is of this package, which checks what it reads."""
    return hasattr(x, "watches")


def _refuse_single_images(x, name, batch_size, validation_split):
    """Raise ValueError where the last batch is known to be one image."""
    size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
    counts = []
    if hasattr(x, "shape"):
        trained = math.floor(x.shape[0] * (1 - validation_split))
        counts = [trained, x.shape[0] - trained]
    elif hasattr(x, "element_spec"):
        counts, size = _batching(x)
    elif hasattr(x, "collate_fn") and hasattr(x.sampler, "__len__"):
        # torch's DataLoader, unless its batches are those of a sampler.
        if x.batch_size is not None and not x.drop_last:
            counts, size = [len(x.sampler)], x.batch_size
    elif isinstance(x, keras.utils.PyDataset) and not _is_own(x):
        count = x.num_batches
        if count is not None and len(first_part(x[count - 1])) == 1:
            counts, size = [1], 2
    if counts and size < 2:
        raise ValueError(
            "`batch_size` must be at least 2: the loss computes statistics over "
            f"the batch. Received: batch_size={size}"
        )
    for count in counts:
        if count % size == 1:
            raise ValueError(
                f"A last batch of one image has no statistics. Leave one image out of "
                f"`{name}`, or choose another `batch_size`. Received: {count} images, "
                f"batch_size={size}, validation_split={validation_split}"
            )


def _batching(dataset):
    """Return the number of images of a batched `tf.data.Dataset`, and the batch size.

    They are read from parts of TensorFlow that are not public. Where they cannot be
    known, as behind a `map`, there are no counts.

    Returns:
        A list of counts, of one or none, and the batch size.
    """
    batched = dataset
    while not hasattr(batched, "_batch_size"):
        is_same = type(batched).__name__ in ("_PrefetchDataset", "_OptionsDataset")
        if not is_same:
            return [], None
        batched = batched._input_dataset
    count, size = int(batched._input_dataset.cardinality()), int(batched._batch_size)
    is_whole = count > 0 and int(dataset.cardinality()) == math.ceil(count / size)
    return ([count] if is_whole else []), size


def checked_batch(x, name):
    """Return one batch as an array that every backend takes, after checking it."""
    x = host_array(x, name)
    refuse_structures(x, name)
    check_batch(ops.convert_to_numpy(x), name)
    return x


def refuse_structures(x, name):
    """Raise ValueError for several inputs, of which the model takes one."""
    found = first_part(x.element_spec) if hasattr(x, "element_spec") else x
    if isinstance(found, (list, tuple, dict)):
        raise ValueError(
            f"`{name}` must be one array or one data set of images or of views: no "
            f"list, tuple or dict of inputs. Received: {name} of type "
            f"{type(found).__name__}"
        )


def _check_equal_shares(x, name, batch_size, validation_split=0):
    """Check that several devices can share each batch equally."""
    if distribution.replicas() == 1 or distribution.processes()[1] > 1:
        return
    if _is_own(x):
        return  # Streams of this package have checked their batches already.
    sizes = [None]
    if hasattr(x, "shape"):
        size = batch_size or DEFAULT_BATCH_SIZE
        trained = math.floor(x.shape[0] * (1 - validation_split))
        counts = [count for count in (trained, x.shape[0] - trained) if count]
        sizes = [min(size, count) for count in counts]
        sizes += [count % size for count in counts if count % size]
    elif hasattr(x, "element_spec"):
        sizes = [first_part(x.element_spec).shape[0]]
    for size in sizes:
        if size is None:
            raise ValueError(
                f"`{name}` must have batches of one known size, which several devices "
                "can share: use an array, `keras_mvssl.data.multiview` or "
                "`keras_mvssl.data.batches`, or a tf.data.Dataset with "
                f"`batch(..., drop_remainder=True)`. Received: {name}={x!r:.80}"
            )
        distribution.check_batch(size)


def _check_first_pixels(x, name):
    """Check the pixels of an array, or of the first batch of a data set.

    Iterators are not read: they cannot be read from the start again.
    """
    if hasattr(x, "shape"):
        check_pixels(ops.convert_to_numpy(x), name)
        return
    first = None
    if _is_own(x):
        return
    if hasattr(x, "element_spec"):
        if getattr(first_part(x.element_spec), "dtype", "uint8") != "uint8":
            first = next(iter(x.take(1).as_numpy_iterator()), None)
    elif isinstance(x, keras.utils.PyDataset):
        first = x[0]
    elif hasattr(x, "__iter__") and not hasattr(x, "__next__"):
        first = next(iter(x), None)  # e.g. torch's DataLoader
    if first is not None:
        refuse_structures(first_part(first), name)
        check_batch(ops.convert_to_numpy(host_array(first_part(first), name)), name)


def _fill_in_steps(x, kwargs, argument):
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
