"""Crop, resize, flip and blur as one matrix per axis of an image.

All four steps are linear and separable: a view is R · image · Cᵀ for each channel, with
a matrix R over rows and a matrix C over columns. No step gathers or branches.
"""

import functools

import numpy as np
from keras import ops


def view_matrices(augmentation, draws, image_size):
    """Build the two matrices of each view, one for each axis of its image.

    Args:
        augmentation: An `Augmentation`.
        draws: Dict of tensors `(B, V)`, returned by `RandomViews.draw`.
        image_size: `(height, width)` of the images.

    Returns:
        A list of the matrices over rows, `(B, V, h, H)`, and the matrices over columns,
        `(B, V, w, W)`.
    """
    a, aspect = augmentation, draws["aspect"]
    flip = draws["flip"] if a.flip else None
    matrices = []
    for axis, place, relative_aspect, mirror in (
        (0, draws["top"], 1.0 / aspect, None),
        (1, draws["left"], aspect, flip),
    ):
        size, output_size = image_size[axis], a.size[axis]
        share = ops.minimum(ops.sqrt(draws["area"] * relative_aspect), 1.0)
        start, length = place * (1.0 - share) * size, share * size
        matrices.append(crop_matrix(start, length, size, output_size, mirror))
    if a.blur:
        blurs = {
            side: blur_matrix(draws["sigma"], draws["blur"], a.blur_radius, side)
            for side in set(a.size)
        }
        matrices = [ops.matmul(blurs[x.shape[2]], x) for x in matrices]
    return matrices


def crop_matrix(start, length, size, output_size, flip=None):
    """Build matrices that cut intervals out of an axis and resize them, antialiased.

    The weights are the same as in `tf.image.resize(method="bilinear", antialias=True)`:
    a triangle about the centre of each output pixel, as wide as an output pixel or an
    input pixel, whichever is wider. Pixels outside the image have no weight.

    Args:
        start: float tensor. Start of each interval, in pixels of the image.
        length: Length of each interval in pixels, at most `size`: a tensor of the shape
            of `start`, or a number.
        size: int. Pixels of the image along the axis.
        output_size: int. Pixels of the view along the axis.
        flip: Optional bool tensor of the shape of `start`: True mirrors the interval.

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
        # The weights of two neighbouring pixels sum to 1. Beyond the centre of the last
        # pixel, that pixel has all the weight.
        centers = ops.expand_dims(ops.clip(centers, 0.0, size - 1.0), -1)
        return ops.relu(1.0 - ops.absolute(pixels - centers))
    # Distances are measured in half widths of the triangle.
    half_width = ops.maximum(scale, 1.0)
    distances = ops.expand_dims(pixels / half_width, -2) - ops.expand_dims(
        centers / half_width, -1
    )
    weights = ops.relu(1.0 - ops.absolute(distances))
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def blur_matrix(sigma, blur, radius, size):
    """Build matrices that blur an axis with a Gaussian, mirrored at the borders.

    Args:
        sigma: float tensor of rank 1 or more. Standard deviations in pixels.
        blur: bool tensor of the shape of `sigma`. False gives the identity matrix.
        radius: int. Pixels from the centre at which the Gaussian is cut off.
        size: int. Pixels along the axis.

    Returns:
        Matrices `(..., size, size)`, whose rows sum to 1.
    """
    radius = min(radius, size - 1)
    steps = ops.arange(radius + 1, dtype="float32")
    taps = ops.exp(-0.5 * ops.square(steps / ops.expand_dims(sigma, -1)))
    middle = ops.cast(steps == 0, "float32")
    taps = ops.where(ops.expand_dims(blur, -1), taps, middle)
    # Every tap but the middle one is used twice, on both sides.
    taps = taps / ops.sum(taps * (2.0 - middle), axis=-1, keepdims=True)
    matrices = ops.matmul(taps, ops.convert_to_tensor(_tap_counts(radius, size)))
    return ops.reshape(matrices, (-1, *taps.shape[1:-1], size, size))


@functools.lru_cache(maxsize=8)
def _tap_counts(radius, size):
    """Count the uses of tap d at (row, column), `(radius + 1, size · size)`."""
    counts = np.zeros((radius + 1, size, size), "float32")
    rows = np.arange(size)
    for shift in range(-radius, radius + 1):
        columns = np.abs(rows + shift)  # mirrored at the first pixel
        mirrored = 2 * (size - 1) - columns  # mirrored at the last pixel
        columns = np.where(columns < size, columns, mirrored)
        np.add.at(counts, (abs(shift), rows, columns), 1.0)
    return counts.reshape(radius + 1, -1)


def resample_columns(images, matrices):
    """Resample the columns for all views of an image, in one matrix product.

    Args:
        images: Transposed images `(B, W, C, H)`.
        matrices: `(B, V, w, W)`.

    Returns:
        Strips `(B, V, w, C, H)`, whose rows are still to be resampled.
    """
    width, channels, height = images.shape[1:]
    views, new_width = matrices.shape[1:3]
    x = ops.matmul(
        ops.reshape(matrices, (-1, views * new_width, width)),
        ops.reshape(images, (-1, width, channels * height)),
    )
    return ops.reshape(x, (-1, views, new_width, channels, height))


def resample_rows(strips, matrices):
    """Resample the rows of strips, and put the axes into the order of views.

    Args:
        strips: `(B, V, w, C, H)`, returned by `resample_columns`.
        matrices: `(B, V, h, H)`.

    Returns:
        Views `(B, V, h, w, C)`.
    """
    views, width, channels, height = strips.shape[1:]
    # The product (h, H) · (w C, H)ᵀ has channels last, so that no axis must be moved.
    x = ops.reshape(strips, (-1, views, width * channels, height))
    x = ops.matmul(matrices, ops.swapaxes(x, -1, -2))
    return ops.reshape(x, (-1, views, matrices.shape[2], width, channels))
