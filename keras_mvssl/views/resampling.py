"""Crop, resize, flip and blur as one matrix per axis of an image.

All four are linear and separable: a view is R · image · Cᵀ for each channel, with a
matrix R over rows and one C over columns. Nothing is gathered and nothing branches.
"""

import functools

import numpy as np
from keras import ops


def crop_matrix(start, length, size, output_size, flip=None):
    """Matrices that cut intervals out of an axis and resize them, antialiased.

    The weights are those of `tf.image.resize(method="bilinear", antialias=True)`: a
    triangle about the centre of each output pixel, as wide as an output pixel or as
    an input pixel, whichever is more. Pixels outside the image have no weight.

    Args:
        start: float tensor. Where the intervals start, in pixels of the image.
        length: Their lengths: a tensor of the same shape, or a number.
        size: int. Pixels of the image along this axis.
        output_size: int. Pixels of the view.
        flip: Optional bool tensor of the same shape. Which ones to mirror.

    Returns:
        Matrices `(..., output_size, size)`, whose rows sum to 1.
    """
    scale = ops.expand_dims(length / output_size + ops.zeros_like(start), -1)
    places = ops.arange(output_size, dtype="float32") + 0.5
    if flip is not None:
        mirrored = output_size - places
        places = ops.where(ops.expand_dims(flip, -1), mirrored, places)
    centers = ops.expand_dims(start, -1) + places * scale - 0.5
    pixels = ops.arange(size, dtype="float32")
    distances = ops.absolute(pixels - ops.expand_dims(centers, -1))
    slope = 1.0 / ops.maximum(scale, 1.0)
    weights = ops.relu(1.0 - distances * ops.expand_dims(slope, -1))
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def blur_matrix(sigma, blur, radius, size):
    """Matrices that blur along an axis with a Gaussian, mirroring at the borders.

    Args:
        sigma: float tensor of rank 1 or more. Standard deviations in pixels.
        blur: bool tensor of the same shape. Which ones to blur at all.
        radius: int. The Gaussian is cut off beyond this many pixels.
        size: int. Pixels along the axis.

    Returns:
        Matrices `(..., size, size)`, whose rows sum to 1.
    """
    radius = min(radius, size - 1)
    steps = ops.arange(radius + 1, dtype="float32")
    taps = ops.exp(-0.5 * ops.square(steps / ops.expand_dims(sigma, -1)))
    middle = ops.cast(steps == 0, "float32")
    taps = ops.where(ops.expand_dims(blur, -1), taps, middle)
    # All but the middle one are used twice.
    taps = taps / ops.sum(taps * (2.0 - middle), axis=-1, keepdims=True)
    matrices = ops.matmul(taps, ops.convert_to_tensor(_places_of_taps(radius, size)))
    return ops.reshape(matrices, (-1, *taps.shape[1:-1], size, size))


@functools.lru_cache(maxsize=8)
def _places_of_taps(radius, size):
    """How often tap d is met at (row, column), `(radius + 1, size · size)`."""
    places = np.zeros((radius + 1, size, size), "float32")
    rows = np.arange(size)
    for shift in range(-radius, radius + 1):
        columns = np.abs(rows + shift)  # mirrored at the first pixel,
        columns = np.where(columns < size, columns, 2 * (size - 1) - columns)  # last
        np.add.at(places, (abs(shift), rows, columns), 1.0)
    return places.reshape(radius + 1, -1)


def resample(planes, rows, columns):
    """Applies a pair of matrices for each view.

    Args:
        planes: Images `(B, H, C, W)`: channels between the axes that are resampled.
        rows: `(B, V, h, H)`.
        columns: `(B, V, w, W)`.

    Returns:
        Views `(B, V, h, C, w)`.
    """
    height, channels, width = planes.shape[1:]
    views, new_height, new_width = rows.shape[1], rows.shape[2], columns.shape[2]
    # One product for all views of an image.
    x = ops.matmul(
        ops.reshape(rows, (-1, views * new_height, height)),
        ops.reshape(planes, (-1, height, channels * width)),
    )
    x = ops.reshape(x, (-1, views, new_height * channels, width))
    x = ops.matmul(x, ops.swapaxes(columns, -1, -2))
    return ops.reshape(x, (-1, views, new_height, channels, new_width))
