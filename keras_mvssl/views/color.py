"""Colour jitter and grayscale as one affine map of the channels of a view.

Each colour step is linear in the pixel and in the mean gray of the view, so that all
steps together are one matrix and one offset per view. Colours are clipped once, after
all steps, while torchvision and `KerasCVViews` clip after each step.
"""

import numpy as np
from keras import ops

# Weights of RGB in gray, as in `tf.image.rgb_to_grayscale`, scaled to sum to 1.
_LUMA_WEIGHTS = np.array([0.2989, 0.5870, 0.1140]) / 0.9999

# A turn of the hue by θ about the axis of grays is the matrix
# _HUE_CONSTANT + cos θ · _HUE_COSINE + sin θ · _HUE_SINE.
# A turn by a third of the circle swaps the channels, as in HSV.
_HUE_CONSTANT = np.full((3, 3), 1 / 3, "float32")
_HUE_COSINE = np.eye(3, dtype="float32") - _HUE_CONSTANT
_HUE_SINE = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], "float32")
_HUE_SINE /= np.float32(3**0.5)


def gray_weights(channels):
    """Return the weights of the channels in gray, `(C,)`: luma for RGB, else equal."""
    weights = _LUMA_WEIGHTS if channels == 3 else np.full(channels, 1 / channels)
    return weights.astype("float32")


def color_map(augmentation, draws, mean_gray, channels):
    """Combine all colour steps of a view into x -> matrix · x + offset.

    Args:
        augmentation: An `Augmentation`.
        draws: Dict of tensors `(B, V)`, returned by `RandomViews.draw`.
        mean_gray: Mean gray `(B, V)` of the views before the colour steps.
        channels: int. Number of channels C.

    Returns:
        Matrices `(B, V, C, C)`, or factors `(B, V)` where no step mixes channels; and
        offsets `(B, V)`.
    """
    a, jitter = augmentation, draws["jitter"]

    def drawn_if_jittered(name, neutral):
        return ops.where(jitter, draws[name], neutral)

    brightness = drawn_if_jittered("brightness", 1.0)
    contrast = drawn_if_jittered("contrast", 1.0)
    factor = brightness * contrast
    # The offset is gray, and the steps that follow do not change gray.
    offset = brightness * (1.0 - contrast) * mean_gray
    steps = []
    if a.jitter and a.saturation:
        steps.append(saturation_matrix(drawn_if_jittered("saturation", 1.0), channels))
    if a.jitter and a.hue:
        steps.append(hue_matrix(drawn_if_jittered("hue", 0.0)))
    if a.grayscale:
        kept = 1.0 - ops.cast(draws["grayscale"], "float32")
        steps.append(saturation_matrix(kept, channels))
    if not steps:
        return factor, offset
    matrix = _with_matrix_axes(factor) * steps[0]
    for step in steps[1:]:
        matrix = ops.matmul(step, matrix)
    return matrix, offset


def saturation_matrix(factor, channels):
    """Return `(..., C, C)` blending a pixel with its gray: 0 is gray, 1 no change."""
    gray = ops.convert_to_tensor(np.tile(gray_weights(channels), (channels, 1)))
    identity = ops.eye(channels, dtype="float32")
    return gray + _with_matrix_axes(factor) * (identity - gray)


def hue_matrix(turn):
    """Return matrices `(..., 3, 3)` that turn colours by a fraction of the circle."""
    angle = _with_matrix_axes(2 * np.pi * turn)
    constant, cosine, sine = (
        ops.convert_to_tensor(x) for x in (_HUE_CONSTANT, _HUE_COSINE, _HUE_SINE)
    )
    return constant + ops.cos(angle) * cosine + ops.sin(angle) * sine


def mix_channels(matrices, strips):
    """Multiply the channels of each view by the matrix of that view.

    Args:
        matrices: `(B, V, C, C)`.
        strips: `(B, V, w, C, H)`.

    Returns:
        A tensor of the shape of `strips`.
    """
    views, width, channels, height = strips.shape[1:]
    # Libraries are slow at many small products, and there are B V w of them. Therefore
    # two columns are multiplied at once, and all products share one batch axis.
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
    """Compute the mean gray `(B, V)` of views from the images, before resampling.

    Args:
        images: `(B, W, C, H)`, float32.
        columns: Matrices `(B, V, w, W)`, as for `resampling.resample_columns`.
        rows: Matrices `(B, V, h, H)`, as for `resampling.resample_rows`.
    """
    width, channels, height = images.shape[1:]
    means = ops.matmul(
        ops.mean(columns, axis=2), ops.reshape(images, (-1, width, channels * height))
    )
    means = ops.reshape(means, (-1, columns.shape[1], channels, height))
    means = ops.sum(means * ops.mean(rows, axis=2, keepdims=True), axis=-1)
    weights = ops.convert_to_tensor(gray_weights(channels))
    return ops.sum(means * weights, axis=-1)


def _with_matrix_axes(scalar):
    return ops.expand_dims(ops.expand_dims(scalar, -1), -1)
