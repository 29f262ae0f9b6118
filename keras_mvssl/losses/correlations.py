"""Reductions over the batch and over views, of projections `(B, V, D)`.

Everything is float32 at full precision. Sums over all pairs of views take a number of
matrix products that is linear in V; up to 8 views also elementwise products of pairs,
which are cheap beside those.
"""

import itertools

from keras import ops

from keras_mvssl import distribution

EPSILON = 1e-5

# Up to here, elementwise products of pairs of views are as fast as D products of
# matrices (V, B) x (B, V), or faster: measured on a CPU with B = 256 on each backend.
FEW_VIEWS = 8


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
    if not y_pred.shape[2]:
        raise ValueError(
            "The number of features, on axis 2, must be known and at least 1. "
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
    axis = 0 if per_view else (0, 1)
    z = z - ops.mean(z, axis=axis, keepdims=True)
    # The mean of equal numbers is a little off in float32. Left in, that would make a
    # constant feature, once standardised, one of variance 1 that views agree on.
    return z - ops.mean(z, axis=axis, keepdims=True)


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


def off_diagonal(x, mean_squares):
    """Σ_{i≠j} ⟨xᵢ, xⱼ⟩² / R² between the columns of a matrix.

    In sample space, with the Gram matrix G = x xᵀ, ‖xᵀx‖² = ‖G‖². The smaller of the
    two matrices is computed; xᵀx, up to D = 2048, where R is unknown.

    Args:
        x: `(R, D)`.
        mean_squares: ⟨xᵢ, xᵢ⟩ / R of each column, `(D,)`.
    """
    count, dim = x.shape
    if dim < (2049 if count is None else count):
        product = distribution.matmul(ops.transpose(x), x) / rows(x)
        return ops.sum(ops.square(product * (1.0 - ops.eye(dim, dtype="float32"))))
    gram = distribution.matmul(x, ops.transpose(x)) / rows(x)
    return ops.sum(ops.square(gram)) - ops.sum(ops.square(mean_squares))


def pairs(z):
    """Means over all pairs of views of Σᵢ (1 - C^{ab}ᵢᵢ)² and of Σ_{i≠j} (C^{ab}ᵢⱼ)².

    Args:
        z: Standardised projections `(B, V, D)`; C^{ab} = zᵃᵀ zᵇ / B.

    Returns:
        The two, float32 scalars.
    """
    views, dim = z.shape[1:]
    if z.shape[0] is not None and dim * (views - 1) < 2 * z.shape[0]:
        on, off = _pairs_in_feature_space(z)
    else:
        on, off = _pairs_in_sample_space(z)
    count = views * (views - 1) / 2
    return on / count, off / count


def _pairs_in_feature_space(z):
    """Each view meets all later ones in one product."""
    views, dim = ops.unstack(z, axis=1), z.shape[2]
    on = off = 0.0
    different = ops.expand_dims(1.0 - ops.eye(dim, dtype="float32"), 1)
    for a in range(len(views) - 1):
        later = ops.concatenate(views[a + 1 :], axis=1)
        products = distribution.matmul(ops.transpose(views[a]), later) / rows(z)
        products = ops.reshape(products, (dim, -1, dim))
        diagonals = ops.diagonal(products, axis1=0, axis2=2)
        on = on + ops.sum(ops.square(1.0 - diagonals))
        off = off + ops.sum(ops.square(products * different))
    return on, off


def _pairs_in_sample_space(z):
    """Σ_{a≠b} ‖C^{ab}‖² = ‖Σₐ Gᵃ‖² - Σₐ ‖Gᵃ‖² with Gram matrices Gᵃ = zᵃ zᵃᵀ / B."""
    views = ops.unstack(z, axis=1)
    grams = [distribution.matmul(x, ops.transpose(x)) / rows(z) for x in views]
    off = ops.sum(ops.square(sum(grams))) - sum(ops.sum(ops.square(g)) for g in grams)
    diagonals = _diagonals_of_pairs(z)
    on = sum(ops.sum(ops.square(1.0 - d) * share) for d, share in diagonals)
    same = sum(ops.sum(ops.square(d) * share) for d, share in diagonals)
    return on, off / 2.0 - same


def _diagonals_of_pairs(z):
    """C^{ab}ᵢᵢ of all pairs, in tensors with the share in which their entries count."""
    if z.shape[1] <= FEW_VIEWS:
        views = ops.unstack(z, axis=1)
        pairs = itertools.combinations(views, 2)
        return [(ops.mean(a * b, axis=0), 1.0) for a, b in pairs]
    batch, (views, dim) = ops.shape(z)[0], z.shape[1:]
    by_feature = ops.transpose(ops.reshape(z, (-1, dim)))
    by_feature = ops.reshape(by_feature, (dim, batch, views))
    products = distribution.matmul(ops.transpose(by_feature, (0, 2, 1)), by_feature)
    return [(products / rows(z), (1.0 - ops.eye(views, dtype="float32")) / 2.0)]


def rows(x):
    """The length of the first axis, as float32."""
    return ops.cast(ops.shape(x)[0], "float32")
