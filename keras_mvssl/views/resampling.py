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
        length: Their lengths, at most `size`: a tensor of the same shape, or a number.
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
    if size <= output_size:
        # Between two pixels, the weights sum to 1; at the rim, the last one has all.
        centers = ops.expand_dims(ops.clip(centers, 0.0, size - 1.0), -1)
        return ops.relu(1.0 - ops.absolute(pixels - centers))
    # In units of the triangle's half width.
    unit = ops.maximum(scale, 1.0)
    distances = ops.expand_dims(pixels / unit, -2) - ops.expand_dims(centers / unit, -1)
    weights = ops.relu(1.0 - ops.absolute(distances))
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


def resample_columns(images, matrices):
    """The first half of a crop, for all views of an image in one product.

    Args:
        images: `(B, W, C, H)`.
        matrices: `(B, V, w, W)`.

    Returns:
        `(B, V, w, C, H)`.
    """
    width, channels, height = images.shape[1:]
    views, new_width = matrices.shape[1:3]
    x = ops.matmul(
        ops.reshape(matrices, (-1, views * new_width, width)),
        ops.reshape(images, (-1, width, channels * height)),
    )
    return ops.reshape(x, (-1, views, new_width, channels, height))


def resample_rows(strips, matrices):
    """The second half of a crop, which puts the axes where views have them.

    Args:
        strips: `(B, V, w, C, H)`, as `resample_columns` returns them.
        matrices: `(B, V, h, H)`.

    Returns:
        Views `(B, V, h, w, C)`.
    """
    views, width, channels, height = strips.shape[1:]
    # (h, H) · (w C, H)ᵀ has channels last, and no axis needs to be moved afterwards.
    x = ops.reshape(strips, (-1, views, width * channels, height))
    x = ops.matmul(matrices, ops.swapaxes(x, -1, -2))
    return ops.reshape(x, (-1, views, matrices.shape[2], width, channels))
