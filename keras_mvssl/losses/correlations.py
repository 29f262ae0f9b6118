"""Reductions over the batch and over views, of projections `(B, V, D)`.

Everything is float32 at full precision. The matrix products of sums over all pairs of
views cost time linear in V, or less; the pairs are never looped over.
"""

from keras import ops

from keras_mvssl import distribution

EPSILON = 1e-5


def as_projections(y_pred):
    """Checks the shape of projections and casts them to float32.

    Args:
        y_pred: `(B, V, D)`, any float type.

    Returns:
        float32 `(B, V, D)`.

    Raises:
        ValueError: For another rank, fewer than two views, or a batch of one.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    if len(y_pred.shape) != 3:
        raise ValueError(
            "Projections must have shape (B, V, D): images, views, features. "
            f"Received: shape={tuple(y_pred.shape)}"
        )
    if y_pred.shape[1] is None or y_pred.shape[1] < 2:
        raise ValueError(
            "The loss compares views of one image with each other and needs at least "
            f"2 of them on axis 1. Received: shape={tuple(y_pred.shape)}"
        )
    y_pred = distribution.require_rows(
        y_pred,
        2,
        "The loss needs the statistics of a batch of at least 2 images on axis 0; "
        "drop the remainder of the data set or choose another batch size.",
    )
    return ops.cast(y_pred, "float32")


def normalize_rows(z):
    """Scales each projection to norm √D: mean square 1 per feature."""
    mean_square = ops.mean(ops.square(z), axis=-1, keepdims=True)
    return z * ops.rsqrt(mean_square + 1e-12)


def center(z, per_view=False):
    """Gives each feature mean 0.

    Args:
        z: `(B, V, D)`.
        per_view: Whether the mean is that of each view over B, instead of that of all
            B·V rows.
    """
    return z - ops.mean(z, axis=0 if per_view else (0, 1), keepdims=True)


def standardize(z, per_view=False):
    """Gives each feature mean 0 and variance 1: (z - mean) / sqrt(var + 1e-5)."""
    z = center(z, per_view)
    axis = 0 if per_view else (0, 1)
    variance = ops.mean(ops.square(z), axis=axis, keepdims=True)
    return z * ops.rsqrt(variance + EPSILON)


def distance_to_mean(z):
    """Mean over images and views of the squared distance to the mean view, `(D,)`.

    The mean over pairs of views a ≠ b of (zᵃ - zᵇ)² is 2V/(V-1) times as much.
    """
    mean = ops.mean(z, axis=1, keepdims=True)
    return ops.mean(ops.square(z - mean), axis=(0, 1))


def diagonal_with_mean(z):
    """Correlation of each feature of each view with the mean view, `(V, D)`."""
    mean = ops.mean(z, axis=1, keepdims=True)
    return ops.mean(z * mean, axis=0)


def diagonal_of_pairs(z):
    """Correlation of each feature between all pairs of views, `(D, V, V)`."""
    by_feature = ops.transpose(z, (2, 1, 0))
    return distribution.matmul(by_feature, ops.transpose(z, (2, 0, 1))) / rows(z)


def off_diagonal(x):
    """Σ_{i≠j} ⟨xᵢ, xⱼ⟩² / R² between the columns of matrices, summed over these.

    In sample space, with the Gram matrix G = x xᵀ, ‖xᵀx‖² = ‖G‖². The smaller of the
    two matrices is computed.

    Args:
        x: `(..., R, D)`.
    """
    count, dim = x.shape[-2:]
    order = (*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2)
    if _is_fewer(dim, count):
        correlation = distribution.matmul(ops.transpose(x, order), x) / rows(x, -2)
        return ops.sum(ops.square(correlation * (1.0 - ops.eye(dim))))
    gram = distribution.matmul(x, ops.transpose(x, order)) / rows(x, -2)
    diagonal = ops.mean(ops.square(x), axis=-2)
    return ops.sum(ops.square(gram)) - ops.sum(ops.square(diagonal))


def off_diagonal_of_pairs(z, diagonal):
    """Σ_{i≠j} (C^{ab}ᵢⱼ)², summed over all ordered pairs of views a ≠ b.

    In sample space, with Gram matrices Gᵃ = zᵃ zᵃᵀ of shape (B, B),
    Σ_{a≠b} ‖C^{ab}‖² = (‖Σₐ Gᵃ‖² - Σₐ ‖Gᵃ‖²) / B². In feature space, cheaper where
    D < 2B/(V-1), view a meets view a + shift, for each shift.

    Args:
        z: Standardised projections `(B, V, D)`.
        diagonal: What `diagonal_of_pairs(z)` gave.
    """
    views, dim = z.shape[1:]
    if _is_fewer(dim * (views - 1), z.shape[0], times=2):
        by_view = ops.transpose(z, (1, 2, 0))
        total = 0.0
        for shift in range(1, views // 2 + 1):
            other = ops.transpose(ops.roll(z, -shift, axis=1), (1, 0, 2))
            correlation = distribution.matmul(by_view, other) / rows(z)
            square = ops.sum(ops.square(correlation * (1.0 - ops.eye(dim))))
            # A shift by half of the views meets each pair from both of its ends.
            total = total + (1.0 if 2 * shift == views else 2.0) * square
        return total
    by_view = ops.transpose(z, (1, 0, 2))
    grams = distribution.matmul(by_view, ops.transpose(z, (1, 2, 0))) / rows(z)
    squares = ops.sum(ops.square(ops.sum(grams, axis=0))) - ops.sum(ops.square(grams))
    pairs = 1.0 - ops.eye(views)
    return squares - ops.sum(ops.square(diagonal) * pairs)


def rows(x, axis=0):
    """The length of an axis, as float32: B by default."""
    return ops.cast(ops.shape(x)[axis], "float32")


def _is_fewer(count, rows, times=1):
    """Whether count < times · rows; no where the number of rows is unknown."""
    return rows is not None and count < times * rows
