"""Endless, reproducible streams of batches of images."""

import numbers
import time
from typing import Any

import keras
import numpy as np

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.pixels import PixelWatch
from keras_mvssl._internal.pixels import check_pixels
from keras_mvssl._internal.pixels import host_array
from keras_mvssl.data.splits import MEMORY_LIMIT_BYTES

# Number of images in the shuffle buffer of a `tf.data.Dataset`.
SHUFFLE_BUFFER_SIZE = 10_000


def batches(images: Any, batch_size: int, seed: int = 0, start_step: int = 0) -> Any:
    """Return a stream of batches of images, for a `MultiViewModel` with `views`.

    The stream is like that of `multiview`, except that the model makes the views: it
    is endless, its order is a function of (seed, step), and it has the attribute
    `steps_per_epoch`. An array needs no TensorFlow. With JAX or PyTorch, an array of at
    most 4 GiB stays in the memory of the device, so that a step moves no pixels; larger
    arrays stay in main memory. To continue training, make a stream with
    `start_step=int(model.views.step)`.

    Args:
        images: `(N, H, W, C)` array, uint8 or float in [0, 255]; or a `tf.data.Dataset`
            of single images `(H, W, C)`.
        batch_size: int, at least 2. Images per step.
        seed: int. Seed of the order of the images.
        start_step: int. The first step of the stream.

    Returns:
        A `keras.utils.PyDataset` for an array, a `tf.data.Dataset` for a data set.

    Raises:
        ValueError: If images have another shape or are outside [0, 255], or
            `batch_size` is less than 2 or more than the number of images.

    Example:
    ```python
    views = keras_mvssl.views.RandomViews(augmentation, views=4)
    model = keras_mvssl.MultiViewModel(encoder, projector, views)
    model.compile(optimizer="adam")
    model.fit(keras_mvssl.data.batches(images, batch_size=256), epochs=10)
    ```
    """
    check_arguments(images, batch_size, seed, start_step)
    if not hasattr(images, "element_spec"):
        return _ArrayBatches(images, batch_size, seed, start_step)
    tf = _backend.tensorflow_for_data()
    watch = PixelWatch()
    stream, steps = shuffled_batches(tf, images, batch_size, seed, start_step, watch)
    return prefetch(tf, stream, steps, [watch])


class _ArrayBatches(keras.utils.PyDataset):
    num_batches = None  # The stream is endless.
    watches = ()  # All images are checked at once.

    def __init__(self, images, batch_size, seed, start_step):
        super().__init__()
        images = check_array(images, batch_size)
        self.steps_per_epoch = len(images) // batch_size
        self._count, self._batch_size = len(images), batch_size
        self._seed, self._start_step = seed, start_step
        self._images = images
        if images.nbytes <= MEMORY_LIMIT_BYTES:
            self._images = distribution.keep_on_device(images)
        self._epoch, self._order = None, None

    def __getitem__(self, index):
        epoch, place = divmod(index + self._start_step, self.steps_per_epoch)
        if epoch != self._epoch:
            rng = np.random.default_rng((self._seed, epoch))
            self._order, self._epoch = rng.permutation(self._count), epoch
        first_row, count = rows_of_process(self._batch_size)
        start = place * self._batch_size + first_row
        rows = self._order[start : start + count]
        return (distribution.take_rows(self._images, rows),)


def shuffled_batches(tf, images, batch_size, seed, start_step, watch):
    """Return a stream of this process' part of each batch of a `tf.data.Dataset`.

    The `PixelWatch` sees the first images now, and others as they are read.

    Returns:
        The stream, and the steps of an epoch (None if the number of images is unknown).
    """
    count = int(images.cardinality())
    spec = images.element_spec
    if not isinstance(spec, tf.TensorSpec) or spec.shape.rank != 3:
        raise ValueError(
            "`images` must be a data set of single images (H, W, C), of one size and "
            f"without labels. Received: element_spec={spec}"
        )
    if count == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "`images` must end, because the stream itself repeats the data set. "
            "Received: an infinite data set"
        )
    steps_per_epoch = None
    if count != tf.data.UNKNOWN_CARDINALITY:
        _check_count(count, batch_size)
        steps_per_epoch = count // batch_size
    if spec.dtype != "uint8":
        watch.check(np.array(list(images.take(16).as_numpy_iterator())))
        if 0 < count <= 16:
            watch.finish()

    def epoch(index):
        # `Dataset.shuffle` would mix TensorFlow's global seed into the order, so the
        # operation below it is called directly.
        shuffled = tf.raw_ops.ShuffleDataset(
            input_dataset=tf.data.experimental.to_variant(images),
            buffer_size=SHUFFLE_BUFFER_SIZE,
            seed=seed,
            seed2=index + 1,
            output_types=[images.element_spec.dtype],
            output_shapes=[images.element_spec.shape],
            reshuffle_each_iteration=False,
        )
        shuffled = tf.data.experimental.from_variant(shuffled, images.element_spec)
        shuffled = shuffled.batch(batch_size, drop_remainder=True)
        if spec.dtype == "uint8":
            return shuffled
        return _backend.look_at_images(shuffled, watch.check)

    # The stream starts with the epoch of `start_step`, so that only batches of this
    # epoch are read and skipped (all earlier ones if the length is unknown).
    first, skipped = divmod(start_step, steps_per_epoch or start_step + 1)
    stream = tf.data.Dataset.range(first, np.iinfo("int64").max).flat_map(epoch)
    first_row, rows = rows_of_process(batch_size)
    stream = stream.skip(skipped)
    if rows < batch_size:
        stream = stream.map(lambda batch: batch[first_row : first_row + rows])
    return stream, steps_per_epoch


def prefetch(tf, stream, steps_per_epoch, watches=()):
    """Return the stream with two batches prepared ahead.

    The stream has the attributes `steps_per_epoch`, `watches` (each a `PixelWatch` of
    its images) and `delivered`, the time of `time.perf_counter()` when the last batch
    was handed over.
    """

    def note_time():
        timed.delivered = time.perf_counter()
        return np.int64(0)

    def hand_over(batch):
        with tf.control_dependencies([tf.numpy_function(note_time, [], tf.int64)]):
            return tf.identity(batch)

    timed = stream.prefetch(2).map(hand_over)
    timed.delivered = 0.0
    timed.steps_per_epoch = steps_per_epoch
    timed.watches = list(watches)
    return timed


def rows_of_process(batch_size):
    """Return the first row that this process reads of each batch, and their number."""
    index, count = distribution.processes()
    rows = batch_size // count
    return index * rows, rows


def check_arguments(images, batch_size, seed, start_step):
    """Check the arguments that all streams have."""
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


def check_array(images, batch_size):
    """Return images as a NumPy array, checked for shape, pixel range and count."""
    images = np.asarray(host_array(images))
    if images.ndim != 4:
        raise ValueError(
            "`images` must have shape (N, H, W, C). "
            f"Received: images.shape={images.shape}"
        )
    check_pixels(images)
    _check_count(len(images), batch_size)
    return images


def _check_count(count, batch_size):
    if count < batch_size:
        raise ValueError(
            f"`batch_size` must not exceed the number of images, {count}. "
            f"Received: batch_size={batch_size}"
        )
