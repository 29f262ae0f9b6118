"""Features of a frozen encoder."""

import numpy as np

from keras_mvssl.checks import check_labelled
from keras_mvssl.checks import check_pixels


def extract_features(encoder, data, batch_size=512):
    """Runs a frozen encoder over labelled images, as they are: one clean view.

    Every batch has the same size (the last one is padded and cut), so that compilers
    see one shape and none of the images is lost.

    Args:
        encoder: A `keras.Model` from images in [0, 255] to features `(N, F)`.
        data: `(images, labels)` arrays, `(N, H, W, C)` and `(N,)`; or a
            `tf.data.Dataset` of single `(image, label)`.
        batch_size: int. Images per forward pass.

    Returns:
        float32 features `(N, F)` and int labels `(N,)`.

    Raises:
        ValueError: For data without labels, counts that differ, or images outside
            [0, 255].
    """
    check_labelled(data, "data")
    if not hasattr(data, "element_spec"):
        images, labels = data
        return _forward(encoder, images, batch_size), np.asarray(labels)
    features, labels = [], []
    for batch, batch_labels in data.batch(batch_size).as_numpy_iterator():
        check_pixels(batch, "data")
        features.append(_forward(encoder, batch, batch_size))
        labels.append(batch_labels)
    return np.concatenate(features), np.concatenate(labels)


def _forward(encoder, images, batch_size):
    # Not `predict`: its data loader draws from torch's global random state.
    parts = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        padding = [(0, batch_size - len(batch))] + [(0, 0)] * (batch.ndim - 1)
        features = encoder.predict_on_batch(np.pad(batch, padding))
        parts.append(np.asarray(features)[: len(batch)])
    return np.concatenate(parts).astype("float32")
