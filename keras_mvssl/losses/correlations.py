"""Reductions over the batch and over views, of projections `(B, V, D)`.

Everything is float32 at full precision. Sums over all pairs of views take a number of
matrix products that is linear in V; up to 8 views, on a CPU, also elementwise products
of pairs, which are cheap beside those.
"""

import itertools

from keras import ops

from keras_mvssl import _backend

EPSILON = 1e-5

# Up to here, elementwise products of pairs of views are as fast as D products of
# matrices (V, B) x (B, V), or faster: measured on a CPU with B = 256 on each backend.
FEW_VIEWS = 8

# Numbers that are worked on at a time: 2 MiB, which a CPU's caches hold. Accelerators
# have no such caches, and want few and large operations: there it bounds the memory.
PART = 2**19
PART_OF_ACCELERATOR = 2**26


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
    y_pred = _backend.require_rows(
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
    # The mean of equal numbers is a little off in float32. Left in, that would make a
    # constant feature, once standardised, one of variance 1 that views agree on. The
    # second mean takes that out, and whatever a gradient through the first would add.
    z = z - ops.stop_gradient(ops.mean(z, axis=axis, keepdims=True))
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


def off_diagonal(x, mean_squares):
    """Σ_{i≠j} ⟨xᵢ, xⱼ⟩² / R² between the columns of a matrix.

    In sample space, with the Gram matrix G = x xᵀ, ‖xᵀx‖² = ‖G‖². The smaller of the
    two matrices is computed. With G the sum is a difference, which loses digits where
    one column outweighs all others: about 1e-7 of that column's ⟨xᵢ, xᵢ⟩² / R².

    Args:
        x: `(R, D)`.
        mean_squares: ⟨xᵢ, xᵢ⟩ / R of each column, `(D,)`.
    """
    dim = x.shape[1]

    def in_feature_space():
        product = _gram(ops.transpose(x)) / rows(x)
        return ops.sum(ops.square(product * (1.0 - ops.eye(dim, dtype="float32"))))

    def in_sample_space():
        gram = _gram(x) / rows(x)
        return ops.sum(ops.square(gram)) - ops.sum(ops.square(mean_squares))

    return _either(dim < ops.shape(x)[0], in_feature_space, in_sample_space)


def with_mean(z, per_view=False):
    """The mean over views of Σᵢ (1 - ⟨zᵃᵢ, z̄ᵢ⟩/B)², and Σ_{i≠j} (⟨z̄ᵢ, z̄ⱼ⟩/B)².

    Of standardised views and their mean z̄.

    Args:
        z: Projections `(B, V, D)`.
        per_view: As for `standardize`.

    Returns:
        The two, float32 scalars.
    """
    on, means, mean_squares = 0.0, [], []
    for part in _parts(z):
        part = standardize(part, per_view)
        mean = ops.mean(part, axis=1, keepdims=True)
        diagonal = ops.mean(part * mean, axis=0)
        on = on + ops.sum(ops.square(1.0 - diagonal))
        means.append(ops.squeeze(mean, axis=1))
        mean_squares.append(ops.mean(diagonal, axis=0))
    off = off_diagonal(ops.concatenate(means, axis=1), ops.concatenate(mean_squares))
    return on / z.shape[1], off


def pairs(z, per_view=False):
    """Means over all pairs of views of Σᵢ (1 - C^{ab}ᵢᵢ)² and of Σ_{i≠j} (C^{ab}ᵢⱼ)².

    C^{ab} = zᵃᵀ zᵇ / B of standardised views.

    Args:
        z: Projections `(B, V, D)`.
        per_view: As for `standardize`.

    Returns:
        The two, float32 scalars.
    """
    views, dim = z.shape[1:]
    on, off = _either(
        dim * (views - 1) < 2 * ops.shape(z)[0],
        lambda: _pairs_in_feature_space(standardize(z, per_view)),
        lambda: _pairs_in_sample_space(z, per_view),
    )
    count = views * (views - 1) / 2
    return on / count, off / count


def _pairs_in_feature_space(z):
    """Each view meets all later ones in one product."""
    views, dim = ops.unstack(z, axis=1), z.shape[2]
    on = off = 0.0
    different = ops.expand_dims(1.0 - ops.eye(dim, dtype="float32"), 1)
    for a in range(len(views) - 1):
        later = ops.concatenate(views[a + 1 :], axis=1)
        products = _backend.matmul(ops.transpose(views[a]), later) / rows(z)
        products = ops.reshape(products, (dim, -1, dim))
        diagonals = ops.diagonal(products, axis1=0, axis2=2)
        on = on + ops.sum(ops.square(1.0 - diagonals))
        off = off + ops.sum(ops.square(products * different))
    return on, off


def _pairs_in_sample_space(z, per_view):
    """Σ_{a≠b} ‖C^{ab}‖² = ‖Σₐ Gᵃ‖² - Σₐ ‖Gᵃ‖² with Gram matrices Gᵃ = zᵃ zᵃᵀ / B."""
    on = same = grams = 0.0
    for part in _parts(z):
        x = ops.transpose(standardize(part, per_view), (1, 0, 2))
        grams = grams + _gram(x) / rows(z)
        for diagonal, share in _diagonals_of_pairs(x):
            on = on + ops.sum(ops.square(1.0 - diagonal) * share)
            same = same + ops.sum(ops.square(diagonal) * share)
    all_pairs = ops.sum(ops.square(ops.sum(grams, axis=0)))
    return on, (all_pairs - ops.sum(ops.square(grams))) / 2.0 - same


def _parts(z):
    """`(B, V, D)` cut into tensors of some of the features."""
    batch, views, dim = z.shape
    most = PART_OF_ACCELERATOR if _backend.has_accelerator() else PART
    step = max(1, most // ((batch or 1) * views))
    return ops.split(z, list(range(step, dim, step)), axis=2) if step < dim else [z]


def _diagonals_of_pairs(x):
    """C^{ab}ᵢᵢ of all pairs, in tensors with the share in which their entries count."""
    if x.shape[0] <= FEW_VIEWS and not _backend.has_accelerator():
        pairs = itertools.combinations(ops.unstack(x, axis=0), 2)
        return [(ops.mean(a * b, axis=0), 1.0) for a, b in pairs]
    by_feature = ops.transpose(x, (2, 0, 1))
    different = 1.0 - ops.eye(x.shape[0], dtype="float32")
    return [(_gram(by_feature) / rows(x[0]), different / 2.0)]


def _either(condition, if_true, if_false):
    """Decides now where the batch size is known, else with each batch."""
    if isinstance(condition, bool):
        return if_true() if condition else if_false()
    return ops.cond(condition, if_true, if_false)


@ops.custom_gradient
def _gram(x):
    """x xᵀ of matrices, with the gradient (A + Aᵀ) x: one product instead of two."""

    def gradient(*arguments, upstream=None):
        if upstream is None:  # TensorFlow and JAX have no name for it.
            (upstream,) = arguments
        return _backend.matmul(upstream + ops.swapaxes(upstream, -1, -2), x)

    return _backend.matmul(x, ops.swapaxes(x, -1, -2)), gradient


def rows(x):
    """The length of the first axis, a float where it is known."""
    return float(x.shape[0]) if x.shape[0] else ops.cast(ops.shape(x)[0], "float32")
