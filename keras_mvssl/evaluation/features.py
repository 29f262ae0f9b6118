"""Features of a frozen encoder."""

import keras
import numpy as np
from keras import ops

from keras_mvssl.checks import check_labelled
from keras_mvssl.checks import check_pixels

# Views are those of steps from here on, which neither training nor a model's
# evaluation reaches.
_FIRST_STEP = 2**30 + 1


def extract_features(encoder, data, batch_size=512, views=None):
    """Runs a frozen encoder over labelled images: one clean view, or the mean of many.

    Every batch has the same size (the last one is padded and cut), so that compilers
    see one shape and none of the images is lost. No random state is touched.

    Args:
        encoder: A `keras.Model` from images in [0, 255] to features `(N, F)`.
        data: `(images, labels)` arrays, `(N, H, W, C)` and `(N,)`; or a
            `tf.data.Dataset` of single `(image, label)`.
        batch_size: int. Images per forward pass.
        views: Optional `RandomViews`. Features are then averaged over its views of an
            image, the same ones at each call: the paper's protocol.

    Returns:
        float32 features `(N, F)` and int labels `(N,)`.

    Raises:
        ValueError: For data without labels, counts that differ, or images outside
            [0, 255].

    Example:

    ```python
    features, labels = extract_features(encoder, splits.test)
    views = RandomViews(augmentation, views=8)
    averaged, labels = extract_features(encoder, splits.test, views=views)
    ```
    """
    check_labelled(data, "data")
    forward = encoder.predict_on_batch
    if views is not None:
        averaged, step = _MeanOverViews(encoder, views), _FIRST_STEP

        def forward(batch):
            nonlocal step
            step += 1
            return averaged.predict_on_batch([batch, np.full(len(batch), step - 1)])

    if not hasattr(data, "element_spec"):
        images, labels = data
        images = np.asarray(images)
        batches = (
            images[start : start + batch_size]
            for start in range(0, len(images), batch_size)
        )
        return _forward(forward, batches, batch_size), np.asarray(labels)
    labels = []

    def images_of_stream():
        for batch, batch_labels in data.batch(batch_size).as_numpy_iterator():
            check_pixels(batch, "data")
            labels.append(batch_labels)
            yield batch

    features = _forward(forward, images_of_stream(), batch_size)
    return features, np.concatenate(labels)


class _MeanOverViews(keras.Model):
    def __init__(self, encoder, views):
        super().__init__(name="mean_over_views")  # not one that begins with _
        self.encoder = encoder
        self.views = views

    def call(self, inputs):
        images, step = inputs
        views = self.views(images, step=step[0])
        shape = views.shape
        features = self.encoder(ops.reshape(views, (-1, *shape[2:])), training=False)
        features = ops.reshape(features, (-1, shape[1], features.shape[-1]))
        return ops.mean(ops.cast(features, "float32"), axis=1)


def _forward(forward, batches, batch_size):
    # Not `predict`: its data loader draws from torch's global random state.
    parts = []
    for batch in batches:
        count = len(batch)
        if count < batch_size:
            padding = [(0, batch_size - count)] + [(0, 0)] * (batch.ndim - 1)
            batch = np.pad(batch, padding)
        parts.append(np.asarray(forward(batch)[:count], "float32"))
    return np.concatenate(parts)
