"""Features of a frozen encoder."""

import numbers
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mvssl import distribution
from keras_mvssl._internal.checks import check_labelled
from keras_mvssl._internal.checks import check_pixels
from keras_mvssl.views import RandomViews

# Views are those of steps from here on, which neither training nor a model's
# evaluation reaches.
_FIRST_STEP = 2**30 + 1


def extract_features(
    encoder: keras.Model,
    data: Any,
    batch_size: int = 512,
    views: RandomViews | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Runs a frozen encoder over labelled images: one clean view, or the mean of many.

    Every batch has the same size (the last one is padded and cut), so that compilers
    see one shape and none of the images is lost. No random state is touched.

    Args:
        encoder: A `keras.Model` from images in [0, 255] to features `(N, F)`.
        data: `(images, labels)` arrays, `(N, H, W, C)` and `(N,)`; or a
            `tf.data.Dataset` of single `(image, label)`.
        batch_size: int. Images per forward pass.
        views: Optional `RandomViews`. Features are then averaged over its views of an
            image: the paper's protocol. They are the same at each call with the same
            `batch_size`.

    Returns:
        float32 features `(N, F)` and int labels `(N,)`.

    Raises:
        ValueError: For data without labels, counts that differ, or images outside
            [0, 255].

    Example:

    ```python
    extract = keras_mvssl.evaluation.extract_features
    features, labels = extract(encoder, splits.test)
    views = keras_mvssl.views.RandomViews(augmentation, views=8)
    averaged, labels = extract(encoder, splits.test, views=views)
    ```
    """
    check_labelled(data, "data")
    if not isinstance(batch_size, numbers.Integral) or batch_size < 1:
        raise ValueError(
            f"`batch_size` must be an int of at least 1. Received: {batch_size}"
        )
    model = encoder if views is None else MeanOverViews(encoder, views)
    if isinstance(model, MeanOverViews):
        model.batches = 0
    if not hasattr(data, "element_spec"):
        images, labels = data
        return run_in_batches(model, images, batch_size), np.asarray(labels)
    labels = []

    def images_of_stream():
        for batch, batch_labels in data.batch(batch_size).as_numpy_iterator():
            check_pixels(batch, "data")
            labels.append(batch_labels)
            yield batch

    features = _forward(model, images_of_stream(), batch_size)
    if not labels:
        raise ValueError("`data` must hold images. Received: an empty data set")
    return features, np.concatenate(labels)


def run_in_batches(model, array, batch_size):
    """What a model makes of an array, float32, in batches of one size."""
    array = np.asarray(array)
    starts = range(0, len(array), batch_size)
    return _forward(model, (array[i : i + batch_size] for i in starts), batch_size)


class MeanOverViews(keras.Model):
    """Features averaged over views, other ones for each batch after the first.

    Args:
        encoder: As of `extract_features`, which takes this model in its place: made
            once, it is compiled once.
        views: `RandomViews`.
    """

    def __init__(self, encoder, views):
        super().__init__(name="mean_over_views")
        if not isinstance(views, RandomViews):
            raise ValueError(f"`views` must be a RandomViews. Received: views={views}")
        self.encoder = encoder
        self.views = views
        self.batches = 0

    def predict_on_batch(self, x):
        step = np.full(len(x), _FIRST_STEP + self.batches)
        self.batches += 1
        return super().predict_on_batch([x, step])

    def call(self, inputs):
        images, step = inputs
        views = self.views(images, step=step[0], offset=0)
        shape = views.shape
        features = self.encoder(ops.reshape(views, (-1, *shape[2:])), training=False)
        features = ops.reshape(features, (-1, shape[1], features.shape[-1]))
        return ops.mean(ops.cast(features, "float32"), axis=1)


def _forward(model, batches, batch_size):
    # Not `predict`: its data loader draws from torch's global random state.
    devices = distribution.replicas()
    padded = -(-batch_size // devices) * devices
    parts = []
    for batch in batches:
        count = len(batch)
        if count < padded:
            padding = [(0, padded - count)] + [(0, 0)] * (batch.ndim - 1)
            batch = np.pad(batch, padding)
        parts.append(np.asarray(model.predict_on_batch(batch)[:count], "float32"))
    return np.concatenate(parts) if parts else np.zeros((0, 0), "float32")
