"""From images to an endless, reproducible stream of batches of views, or of images."""

import math
import numbers
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.checks import check_pixels
from keras_mvssl.data.splits import MEMORY_LIMIT

# A worker augments at a time as many images as have this many values in all: few
# enough that their float views fit in a cache, enough to be efficient.
CHUNK_VALUES = 2**17
# Images in the shuffle buffer of a data set that streams.
SHUFFLE_BUFFER = 10_000


def multiview(
    images: Any,
    views: Callable,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    workers: int | None = None,
) -> Any:
    """A stream of batches of views, ready for `MultiViewModel.fit`.

    The stream is endless: epochs follow each other, each in a new order, and what is
    left of an epoch after its last whole batch is dropped. Its attribute
    `steps_per_epoch` tells `MultiViewModel.fit` how long an epoch is (other consumers
    must be told). On several devices, `batch_size` is that of all together, and the
    stream of a process holds its part of each batch.

    Order and views are a function of (seed, step): the same for any number of
    `workers` and on every backend; a stream entered at `start_step` goes on as if it
    had run from the start. Each call of `fit` starts a stream anew: to train on, make
    one whose `start_step` is the number of batches seen. That is
    `int(model.optimizer.iterations)`, unless gradients are accumulated, or skipped in
    float16: it counts changes of the weights.

    Args:
        images: `(N, H, W, C)` array, uint8 or float in [0, 255]; or a `tf.data.Dataset`
            of single images `(H, W, C)`.
        views: A `KerasCVViews`, or any callable `(images, step, offset, batch_size)`
            to views `(B, V, h, w, C)`, in TensorFlow.
        batch_size: int, at least 2. Images per step.
        seed: int. Seed of the order of the images; the views have their own.
        start_step: int. The first step of the stream.
        workers: int. Chunks of images augmented in parallel. Defaults to what
            tf.data finds best.

    Returns:
        An infinite `tf.data.Dataset` of `(batch_size, V, h, w, C)` with the attribute
        `steps_per_epoch`, an int (None for a data set of unknown size).

    Raises:
        ValueError: For images of another shape or outside [0, 255], and for a batch
            of one image or of more than there are.

    Example:

    ```python
    views = keras_mvssl.views.KerasCVViews(augmentation, views=4)
    stream = keras_mvssl.data.multiview(images, views, batch_size=256)
    model.fit(stream, epochs=10)
    ```
    """
    tf = _backend.tensorflow_for_data()
    if not callable(views):
        raise ValueError(f"`views` must be a KerasCVViews. Received: views={views!r}")
    _check_arguments(images, batch_size, seed, start_step)
    if workers is not None and workers < 1:
        raise ValueError(f"`workers` must be at least 1. Received: workers={workers}")
    rows = _own_rows(batch_size)[1]
    is_stream = isinstance(images, tf.data.Dataset)
    make_chunks = _chunks_of_stream if is_stream else _chunks_of_array
    chunks, is_whole, steps_per_epoch = make_chunks(
        tf, images, batch_size, seed, start_step
    )

    def make_views(chunk, step, offset):
        made = views(chunk, step, offset, batch_size)
        # A static batch size lets the loss choose the cheaper of two computations.
        return tf.ensure_shape(made, (rows, *made.shape[1:])) if is_whole else made

    stream = chunks.map(
        make_views, num_parallel_calls=workers or tf.data.AUTOTUNE, deterministic=True
    )
    if not is_whole:
        stream = stream.rebatch(rows, drop_remainder=True)
    return _ready(tf, stream, steps_per_epoch)


def batches(images: Any, batch_size: int, seed: int = 0, start_step: int = 0) -> Any:
    """A stream of batches of images, for a `MultiViewModel` with `views`.

    As `multiview`, but the model makes the views: endless, in an order that is a
    function of (seed, step), with the attribute `steps_per_epoch`. Arrays need no
    TensorFlow, and stay in the memory of the device where the backend is JAX or torch:
    a step then moves no pixels. (Arrays of more than 4 GiB stay in main memory.) To
    train on, make one with `start_step=int(model.views.step)`.

    Args:
        images: `(N, H, W, C)` array, uint8 or float in [0, 255]; or a `tf.data.Dataset`
            of single images `(H, W, C)`.
        batch_size: int, at least 2. Images per step.
        seed: int. Seed of the order.
        start_step: int. The first step of the stream.

    Returns:
        A `keras.utils.PyDataset` for arrays, a `tf.data.Dataset` for data sets.

    Raises:
        ValueError: As `multiview`.

    Example:

    ```python
    views = keras_mvssl.views.RandomViews(augmentation, views=4)
    model = keras_mvssl.MultiViewModel(encoder, projector, views)
    model.compile(optimizer="adam")
    model.fit(keras_mvssl.data.batches(images, batch_size=256), epochs=10)
    ```
    """
    _check_arguments(images, batch_size, seed, start_step)
    if not hasattr(images, "element_spec"):
        return _BatchesOfArray(images, batch_size, seed, start_step)
    tf = _backend.tensorflow_for_data()
    stream, steps = _batches_of_stream(tf, images, batch_size, seed, start_step)
    return _ready(tf, stream, steps)


class _BatchesOfArray(keras.utils.PyDataset):
    num_batches = None  # endless

    def __init__(self, images, batch_size, seed, start_step):
        super().__init__()
        images = _check_array(images, batch_size)
        self.steps_per_epoch = len(images) // batch_size
        self._count, self._batch_size = len(images), batch_size
        self._seed, self._start_step = seed, start_step
        self._images = images
        if images.nbytes <= MEMORY_LIMIT:
            self._images = distribution.keep_on_device(images)
        self._epoch, self._order = None, None

    def __getitem__(self, index):
        epoch, place = divmod(index + self._start_step, self.steps_per_epoch)
        if epoch != self._epoch:
            rng = np.random.default_rng((self._seed, epoch))
            self._order, self._epoch = rng.permutation(self._count), epoch
        first_row, count = _own_rows(self._batch_size)
        start = place * self._batch_size + first_row
        rows = self._order[start : start + count]
        return (distribution.take_rows(self._images, rows),)


def _ready(tf, stream, steps_per_epoch):
    """A stream that works ahead, and notes when it last handed over a batch."""

    def note():
        noted.delivered = time.perf_counter()
        return np.int64(0)

    def hand_over(batch):
        with tf.control_dependencies([tf.numpy_function(note, [], tf.int64)]):
            return tf.identity(batch)

    noted = stream.prefetch(2).map(hand_over)
    noted.delivered = 0.0
    noted.steps_per_epoch = steps_per_epoch
    return noted


def _check_arguments(images, batch_size, seed, start_step):
    if isinstance(images, (tuple, list)):
        raise ValueError(
            "`images` must be images alone, without labels. "
            f"Received: images of type {type(images).__name__}"
        )
    if not isinstance(batch_size, numbers.Integral) or batch_size < 2:
        raise ValueError(
            "`batch_size` must be an int of at least 2: the loss needs the statistics "
            f"of a batch. Received: batch_size={batch_size}"
        )
    distribution.check_batch(batch_size)
    for name, value in (("seed", seed), ("start_step", start_step)):
        if not isinstance(value, numbers.Integral) or value < 0:
            raise ValueError(
                f"`{name}` must be an int of at least 0. Received: {name}={value!r}"
            )


def _check_array(images, batch_size):
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError(
            "`images` must have shape (N, H, W, C). "
            f"Received: images.shape={images.shape}"
        )
    check_pixels(images)
    _check_count(len(images), batch_size)
    return images


def _chunk_size(shape, batch_size):
    """How many images of this shape are augmented at a time."""
    values = math.prod(x or 1 for x in shape)
    return min(max(1, CHUNK_VALUES // values), batch_size)


def _chunks_of_array(tf, images, batch_size, seed, start_step):
    images = _check_array(images, batch_size)
    steps_per_epoch = len(images) // batch_size
    first_row, rows = _own_rows(batch_size)
    chunk_size = _chunk_size(images.shape[1:], rows)
    chunks_per_step = math.ceil(rows / chunk_size)
    pixels = tf.constant(images)

    def chunk(index):
        step, part = index // chunks_per_step, index % chunks_per_step
        epoch, place = step // steps_per_epoch, (step % steps_per_epoch) * batch_size
        start = part * chunk_size
        offset = first_row + start
        end = first_row + tf.minimum(start + chunk_size, rows)
        places = place + tf.range(offset, end)
        # A permutation of all images, a new one for each epoch, computed pointwise.
        chosen = tf.random.experimental.index_shuffle(
            places, tf.stack([seed, epoch]), len(images) - 1
        )
        return tf.gather(pixels, chosen), step, tf.cast(offset, tf.int32)

    first = start_step * chunks_per_step
    chunks = tf.data.Dataset.range(first, np.iinfo("int64").max).map(chunk)
    return chunks, chunk_size == rows, steps_per_epoch


def _chunks_of_stream(tf, images, batch_size, seed, start_step):
    stream, steps = _batches_of_stream(tf, images, batch_size, seed, start_step)
    first_row, rows = _own_rows(batch_size)
    chunk_size = _chunk_size(images.element_spec.shape, rows)

    def split(step, batch):
        offsets = tf.range(0, rows, chunk_size)
        return tf.data.Dataset.from_tensor_slices(offsets).map(
            lambda at: (batch[at : at + chunk_size], step + start_step, first_row + at)
        )

    return stream.enumerate().flat_map(split), chunk_size == rows, steps


def _batches_of_stream(tf, images, batch_size, seed, start_step):
    count = int(images.cardinality())
    spec = images.element_spec
    if not isinstance(spec, tf.TensorSpec) or spec.shape.rank != 3:
        raise ValueError(
            "`images` must be a data set of single images (H, W, C), of one size and "
            f"without labels. Received: element_spec={spec}"
        )
    if count == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "`images` must end: the stream repeats it. Received: an infinite data set"
        )
    steps_per_epoch = None
    if count != tf.data.UNKNOWN_CARDINALITY:
        _check_count(count, batch_size)
        steps_per_epoch = count // batch_size
    first = list(images.take(16).as_numpy_iterator()) if spec.dtype != "uint8" else []
    check_pixels(np.array(first))

    def epoch(index):
        # The op below `Dataset.shuffle`, which mixes TensorFlow's global seed in.
        shuffled = tf.raw_ops.ShuffleDataset(
            input_dataset=tf.data.experimental.to_variant(images),
            buffer_size=SHUFFLE_BUFFER,
            seed=seed,
            seed2=index + 1,
            output_types=[images.element_spec.dtype],
            output_shapes=[images.element_spec.shape],
            reshuffle_each_iteration=False,
        )
        shuffled = tf.data.experimental.from_variant(shuffled, images.element_spec)
        return shuffled.batch(batch_size, drop_remainder=True)

    # Only what is left of an epoch need be read.
    first, skipped = divmod(start_step, steps_per_epoch or start_step + 1)
    stream = tf.data.Dataset.range(first, np.iinfo("int64").max).flat_map(epoch)
    first_row, rows = _own_rows(batch_size)
    stream = stream.skip(skipped)
    if rows < batch_size:
        stream = stream.map(lambda batch: batch[first_row : first_row + rows])
    return stream, steps_per_epoch


def _own_rows(batch_size):
    """The first row of a batch that this process reads, and how many it does."""
    index, count = distribution.processes()
    rows = batch_size // count
    return index * rows, rows


def _check_count(count, batch_size):
    if count < batch_size:
        raise ValueError(
            f"`batch_size` must not exceed the number of images, {count}. "
            f"Received: batch_size={batch_size}"
        )
