"""Features of a frozen encoder."""

import numbers
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.checks import check_labelled
from keras_mvssl._internal.checks import check_labels
from keras_mvssl._internal.pixels import PixelWatch
from keras_mvssl._internal.pixels import host_array
from keras_mvssl.views import RandomViews
from keras_mvssl.views.augmentation import check_channels

# Step of `RandomViews` for the first batch. Neither training nor the evaluation of a
# model reaches steps from this one on.
_FIRST_VIEW_STEP = 2**30 + 1


def extract_features(
    encoder: keras.Model,
    data: Any,
    batch_size: int = 512,
    views: RandomViews | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute features of labelled images with a frozen encoder.

    The features are those of one clean view, or the mean over several random views.
    Every batch has the same size: the last batch is padded and the result cut, so that
    compilers see one shape and no image is lost. No random state is changed.

    Args:
        encoder: A `keras.Model` from images in [0, 255] to features `(N, F)`.
        data: Arrays `(images, labels)` of shapes `(N, H, W, C)` and `(N,)`; or a
            `tf.data.Dataset` of single `(image, label)`.
        batch_size: int. Images per forward pass.
        views: Optional `RandomViews`, whose views of an image the features are averaged
            over: the protocol of the paper. Every call with the same `batch_size` gives
            the same features.

    Returns:
        float32 features `(N, F)` and int labels `(N,)`.

    Raises:
        ValueError: For a whole `MultiViewModel` in place of its encoder, data without
            labels, counts that differ, or images outside [0, 255].

    Example:
    ```python
    extract = keras_mvssl.evaluation.extract_features
    features, labels = extract(encoder, splits.test)
    views = keras_mvssl.views.RandomViews(augmentation, views=8)
    averaged, labels = extract(encoder, splits.test, views=views)
    ```
    """
    if hasattr(encoder, "projector"):
        raise ValueError(
            "`encoder` must be the encoder alone, whose features are measured: "
            f"`model.encoder`. Received: encoder={encoder}"
        )
    check_labelled(data, "data")
    check_takes_images(encoder, _taken_shape(data, views), "data")
    if not isinstance(batch_size, numbers.Integral) or batch_size < 1:
        raise ValueError(
            "`batch_size` must be an int of at least 1. "
            f"Received: batch_size={batch_size}"
        )
    model = encoder if views is None else MeanOverViews(encoder, views)
    if isinstance(model, MeanOverViews):
        model.batches = 0
        with _backend.unchanged_random_state(model.views):
            return _extract(model, data, batch_size)
    return _extract(model, data, batch_size)


def _taken_shape(data, views):
    """Return the shape of what an encoder takes of labelled images, or their views."""
    is_stream = hasattr(data, "element_spec")
    shape = data.element_spec[0].shape if is_stream else np.shape(data[0])[1:]
    if not isinstance(views, RandomViews):
        return tuple(shape)
    check_channels(views.augmentation, shape)
    return *views.augmentation.size, shape[-1]


def check_takes_images(encoder, shape, name):
    """Check that an encoder takes images `(H, W, C)`; raise ValueError otherwise."""
    taken = getattr(encoder, "input_shape", None)
    if not isinstance(taken, tuple):
        return  # A subclassed model does not know.
    taken = taken[1:]
    fits = len(taken) == len(shape) and not any(
        None not in (a, b) and a != b for a, b in zip(taken, shape)
    )
    if not fits:
        raise ValueError(
            f"The images of `{name}` do not fit the encoder, which takes {taken}; "
            "build it for (None, None, channels) to take images of any size. "
            f"Received: images of shape {tuple(shape)}"
        )


def _extract(model, data, batch_size):
    if not hasattr(data, "element_spec"):
        images, labels = data
        return run_in_batches(model, images, batch_size), np.asarray(labels)
    labels, watch = [], PixelWatch("data")

    def checked_batches():
        for batch, batch_labels in data.batch(batch_size).as_numpy_iterator():
            watch.check(batch)
            check_labels(batch_labels, "data")
            labels.append(batch_labels)
            yield batch
        watch.finish()

    features = _forward(model, checked_batches(), batch_size)
    if not labels:
        raise ValueError(
            "`data` must hold at least one image. Received: an empty data set"
        )
    return features, np.concatenate(labels)


def run_in_batches(model, array, batch_size):
    """Return the float32 outputs of a model for an array, in batches of one size."""
    array = np.asarray(host_array(array))
    starts = range(0, len(array), batch_size)
    return _forward(model, (array[i : i + batch_size] for i in starts), batch_size)


class MeanOverViews(keras.Model):
    """Model of features averaged over views; each batch gets views of another step.

    `extract_features` takes such a model in place of an encoder. One model that is used
    for several calls is compiled only once.

    Args:
        encoder: A `keras.Model` from images in [0, 255] to features `(N, F)`.
        views: A `RandomViews`.
    """

    def __init__(self, encoder, views):
        super().__init__(name="mean_over_views")
        if not isinstance(views, RandomViews):
            raise ValueError(f"`views` must be a RandomViews. Received: views={views}")
        self.encoder = encoder
        self.views = views
        self.batches = 0

    def predict_on_batch(self, x):
        step = np.full(len(x), _FIRST_VIEW_STEP + self.batches)
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
    # `predict` is not used: on torch, its data loader changes the global random state.
    devices = distribution.replicas()
    padded = -(-batch_size // devices) * devices
    parts = []
    for batch in batches:
        count = len(batch)
        if count < padded:
            padding = [(0, padded - count)] + [(0, 0)] * (batch.ndim - 1)
            batch = np.pad(batch, padding)
        with _backend.fast_convolutions(model):
            features = model.predict_on_batch(batch)
        parts.append(np.asarray(features[:count], "float32"))
    return np.concatenate(parts) if parts else np.zeros((0, 0), "float32")
