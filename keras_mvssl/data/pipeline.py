"""Endless, reproducible streams of batches of views, made in `tf.data`."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_mvssl import _backend
from keras_mvssl._internal.pixels import PixelWatch
from keras_mvssl.data.image_batches import check_arguments
from keras_mvssl.data.image_batches import check_array
from keras_mvssl.data.image_batches import prefetch
from keras_mvssl.data.image_batches import rows_of_process
from keras_mvssl.data.image_batches import shuffled_batches

# A worker augments one chunk of images at a time. A chunk has at most this many pixel
# values: few enough that its float views fit in a cache, enough to be efficient.
CHUNK_VALUES = 2**17


def multiview(
    images: Any,
    views: Callable,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    workers: int | None = None,
) -> Any:
    """Return a stream of batches of views, ready for `MultiViewModel.fit`.

    The stream is endless: epochs follow each other, each in a new order. The images
    that remain after the last whole batch of an epoch are dropped. The attribute
    `steps_per_epoch` of the stream tells `MultiViewModel.fit` the length of an epoch;
    other consumers must be given the length. On several devices, `batch_size` is the
    size of the whole batch, and each process streams its part of every batch.

    Order and views are a function of (seed, step). They are the same for any number of
    `workers` and on every backend, and a stream that starts at `start_step` continues
    as if it had run from step 0. Each call of `fit` starts a stream from its beginning.
    To continue training, make a stream whose `start_step` is the number of batches that
    were seen. This is `int(model.optimizer.iterations)`, which counts updates of the
    weights, unless gradients are accumulated, or skipped in float16.

    Args:
        images: `(N, H, W, C)` array, uint8 or float in [0, 255]; or a `tf.data.Dataset`
            of single images `(H, W, C)`.
        views: A `KerasCVViews`, or any callable `(images, step, offset, batch_size)`
            that returns views `(B, V, h, w, C)` in [0, 255], or a list of the V views
            `(B, h, w, C)`, computed by TensorFlow.
        batch_size: int, at least 2. Images per step.
        seed: int. Seed of the order of the images; the views have a seed of their own.
        start_step: int. The first step of the stream.
        workers: int. Number of chunks of images that are augmented in parallel.
            Defaults to the number that tf.data finds best.

    Returns:
        An infinite `tf.data.Dataset` of `(batch_size, V, h, w, C)` with the attribute
        `steps_per_epoch`, an int (None for a data set of unknown size).

    Raises:
        ValueError: If images have another shape or are outside [0, 255], or
            `batch_size` is less than 2 or more than the number of images.

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
    check_arguments(images, batch_size, seed, start_step)
    if workers is not None and workers < 1:
        raise ValueError(f"`workers` must be at least 1. Received: workers={workers}")
    rows = rows_of_process(batch_size)[1]
    is_dataset = isinstance(images, tf.data.Dataset)
    make_chunks = _chunks_of_dataset if is_dataset else _chunks_of_array
    watches = [PixelWatch(), PixelWatch("views")]
    chunks, is_whole, steps_per_epoch = make_chunks(
        tf, images, batch_size, seed, start_step, watches[0]
    )

    def make_views(chunk, step, offset):
        made = _as_views(tf, views(chunk, step, offset, batch_size))
        # A static batch size lets the loss choose the cheaper of two computations.
        return tf.ensure_shape(made, (rows, *made.shape[1:])) if is_whole else made

    stream = chunks.map(
        make_views, num_parallel_calls=workers or tf.data.AUTOTUNE, deterministic=True
    )
    if not is_whole:
        stream = stream.rebatch(rows, drop_remainder=True)
    if stream.element_spec.dtype != tf.uint8:  # views of a function of the user's
        stream = _backend.look_at_images(stream, watches[1].check)
    return prefetch(tf, stream, steps_per_epoch, watches)


def _as_views(tf, made):
    """Return views `(B, V, h, w, C)`, also from a list of views `(B, h, w, C)`."""
    if isinstance(made, (list, tuple)):
        made = tf.stack(made, axis=1)
    if made.shape.rank != 5:
        raise ValueError(
            "`views` must return views of shape (B, V, h, w, C), or a list of V views "
            f"(B, h, w, C). Received: views that returned the shape {made.shape}"
        )
    return made


def _chunk_size(shape, rows):
    """Return how many images of this shape are augmented at a time, at most `rows`."""
    values = math.prod(x or 1 for x in shape)
    return min(max(1, CHUNK_VALUES // values), rows)


def _chunks_of_array(tf, images, batch_size, seed, start_step, watch):
    """Return a stream of chunks of the batches of this process, from an array.

    Returns:
        A `tf.data.Dataset` of (images, step, place of the first image in the whole
        batch); whether a chunk is all that this process has of a batch; and the steps
        of an epoch.
    """
    del watch  # An array is checked at once.
    images = check_array(images, batch_size)
    steps_per_epoch = len(images) // batch_size
    first_row, rows = rows_of_process(batch_size)
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
        # Each epoch has a new permutation of all images, which TensorFlow computes for
        # single places.
        chosen = tf.random.experimental.index_shuffle(
            places, tf.stack([seed, epoch]), len(images) - 1
        )
        return tf.gather(pixels, chosen), step, tf.cast(offset, tf.int32)

    first = start_step * chunks_per_step
    chunks = tf.data.Dataset.range(first, np.iinfo("int64").max).map(chunk)
    return chunks, chunk_size == rows, steps_per_epoch


def _chunks_of_dataset(tf, images, batch_size, seed, start_step, watch):
    """Return what `_chunks_of_array` returns, from a `tf.data.Dataset`."""
    stream, steps = shuffled_batches(tf, images, batch_size, seed, start_step, watch)
    first_row, rows = rows_of_process(batch_size)
    chunk_size = _chunk_size(images.element_spec.shape, rows)

    def split(step, batch):
        offsets = tf.range(0, rows, chunk_size)
        return tf.data.Dataset.from_tensor_slices(offsets).map(
            lambda at: (batch[at : at + chunk_size], step + start_step, first_row + at)
        )

    return stream.enumerate().flat_map(split), chunk_size == rows, steps
