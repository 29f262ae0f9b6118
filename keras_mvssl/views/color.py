"""Jitter, hue and grayscale as one affine map of the channels of a view.

Each step is linear in the pixel and in the mean gray of the view, so that together
they are a matrix and an offset per view. Clipping comes once, after all of them, where
torchvision and `KerasCVViews` clip after each.
"""

import numpy as np
from keras import ops

# Luma of RGB, as in `tf.image.rgb_to_grayscale`, scaled to sum to 1.
_LUMA = np.array([0.2989, 0.5870, 0.1140]) / 0.9999

# A turn of hue by θ about the axis of grays is _KEPT + cos θ · _COS + sin θ · _SIN. By
# thirds of the circle the channels change places, as they do in HSV.
_KEPT = np.full((3, 3), 1 / 3, "float32")
_COS = np.eye(3, dtype="float32") - _KEPT
_SIN = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], "float32") / np.float32(3**0.5)


def gray_weights(channels):
    """Weights of the channels in the gray of a pixel, `(C,)`: luma, or the mean."""
    weights = _LUMA if channels == 3 else np.full(channels, 1 / channels)
    return weights.astype("float32")


def color_map(augmentation, draws, mean_gray, channels):
    """All colour steps of views as x -> matrix · x + offset.

    Args:
        augmentation: An `Augmentation`.
        draws: What `RandomViews.draw` returns, tensors `(B, V)`.
        mean_gray: `(B, V)`, of the views before the colour steps.
        channels: int. C.

    Returns:
        The matrices `(B, V, C, C)`, or factors `(B, V)` where that is enough, and the
        offsets `(B, V)`.
    """
    a, jitter = augmentation, draws["jitter"]

    def jittered(name, neutral):
        return ops.where(jitter, draws[name], neutral)

    brightness, contrast = jittered("brightness", 1.0), jittered("contrast", 1.0)
    factor = brightness * contrast
    # Gray stays what it is under the steps that follow.
    offset = brightness * (1.0 - contrast) * mean_gray
    steps = []
    if a.jitter and a.saturation:
        steps.append(saturation_matrix(jittered("saturation", 1.0), channels))
    if a.jitter and a.hue:
        steps.append(hue_matrix(jittered("hue", 0.0)))
    if a.grayscale:
        kept = 1.0 - ops.cast(draws["grayscale"], "float32")
        steps.append(saturation_matrix(kept, channels))
    if not steps:
        return factor, offset
    matrix = _of_matrix(factor) * steps[0]
    for step in steps[1:]:
        matrix = ops.matmul(step, matrix)
    return matrix, offset


def saturation_matrix(factor, channels):
    """Blends pixels with their gray: 0 is gray, 1 leaves them. `(..., C, C)`."""
    gray = ops.convert_to_tensor(np.tile(gray_weights(channels), (channels, 1)))
    identity = ops.eye(channels, dtype="float32")
    return gray + _of_matrix(factor) * (identity - gray)


def hue_matrix(turn):
    """Turns colours about gray by a fraction of the full circle. `(..., 3, 3)`."""
    angle = _of_matrix(2 * np.pi * turn)
    kept, cos, sin = (ops.convert_to_tensor(x) for x in (_KEPT, _COS, _SIN))
    return kept + ops.cos(angle) * cos + ops.sin(angle) * sin


def mix(matrices, strips):
    """Multiplies the channels of views by a matrix each.

    Args:
        matrices: `(B, V, C, C)`.
        strips: `(B, V, w, C, H)`.

    Returns:
        A tensor of the shape of `strips`.
    """
    views, width, channels, height = strips.shape[1:]
    # Libraries are slow at products as small as these, of which there are B V w: two
    # columns are taken at once, and the batch as one axis.
    count = 2 - width % 2
    size = count * channels
    blocks = np.tile(np.eye(count, dtype="float32"), (width // count, 1, 1))
    blocks = ops.convert_to_tensor(blocks[:, :, None, :, None])
    matrices = blocks * matrices[:, :, None, None, :, None, :]
    mixed = ops.matmul(
        ops.reshape(matrices, (-1, size, size)),
        ops.reshape(strips, (-1, size, height)),
    )
    return ops.reshape(mixed, (-1, views, width, channels, height))


def mean_gray(images, columns, rows):
    """The mean gray of views that are still to be resampled, `(B, V)`.

    Args:
        images: `(B, W, C, H)`, float32.
        columns: The matrices of `resampling.resample_columns`.
        rows: Those of `resampling.resample_rows`.
    """
    width, channels, height = images.shape[1:]
    means = ops.matmul(
        ops.mean(columns, axis=2), ops.reshape(images, (-1, width, channels * height))
    )
    means = ops.reshape(means, (-1, columns.shape[1], channels, height))
    means = ops.sum(means * ops.mean(rows, axis=2, keepdims=True), axis=-1)
    weights = ops.convert_to_tensor(gray_weights(channels))
    return ops.sum(means * weights, axis=-1)


def _of_matrix(scalar):
    return ops.expand_dims(ops.expand_dims(scalar, -1), -1)
