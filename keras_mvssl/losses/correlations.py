"""Reductions of projections `(B, V, D)` over the batch and over views.

Everything is computed in float32 at full precision. Sums over all pairs of views take a
number of matrix products that is linear in V. With up to 8 views on a CPU, they also
take an elementwise product of each pair, which costs little beside the matrix products.
"""

import itertools

from keras import ops

from keras_mvssl import _backend

# Added to a variance before its root is divided by.
VARIANCE_EPSILON = 1e-5

# The largest number of views for which elementwise products of pairs of views are not
# slower than D matrix products (V, B) x (B, V): measured on a CPU with B = 256 on each
# backend.
MAX_ELEMENTWISE_VIEWS = 8

# The largest number of float32 values that are processed at once. 2 MiB fit the caches
# of a CPU. Accelerators have no such caches and are fastest with few, large operations:
# there the limit bounds the memory.
CPU_CHUNK_SIZE = 2**19
ACCELERATOR_CHUNK_SIZE = 2**26


def as_projections(y_pred):
    """Check the shape of projections and cast them to float32.

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
            "The loss compares the views of an image with each other: it needs at "
            f"least 2 views on axis 1. Received: shape={tuple(y_pred.shape)}"
        )
    y_pred = _backend.require_rows(
        y_pred,
        2,
        "The loss computes statistics over the batch and needs at least 2 images on "
        "axis 0. Drop the remainder of the data set or choose another batch size.",
    )
    return ops.cast(y_pred, "float32")


def normalize_rows(z):
    """Scale each projection to norm √D, so that its mean square is 1."""
    mean_square = ops.mean(ops.square(z), axis=-1, keepdims=True)
    return z * ops.rsqrt(mean_square + 1e-12)


def center(z, per_view=False):
    """Subtract the mean of each feature.

    Args:
        z: Projections `(B, V, D)`.
        per_view: Whether to subtract the mean over the B rows of each view, instead of
            the mean over all B·V rows.
    """
    axis = 0 if per_view else (0, 1)
    # In float32, the mean of equal numbers is slightly wrong. Standardisation would
    # scale the remainder of a constant feature up to variance 1, and views would agree
    # on it. The second mean removes the remainder, and would also remove whatever a
    # gradient through the first mean added.
    z = z - ops.stop_gradient(ops.mean(z, axis=axis, keepdims=True))
    return z - ops.mean(z, axis=axis, keepdims=True)


def standardize(z, per_view=False):
    """Standardise each feature: (z - mean) / sqrt(var + 1e-5).

    Mean and variance are taken over the rows that `center` uses.
    """
    z = center(z, per_view)
    axis = 0 if per_view else (0, 1)
    variance = ops.mean(ops.square(z), axis=axis, keepdims=True)
    return z * ops.rsqrt(variance + VARIANCE_EPSILON)


def distance_to_mean(z):
    """Compute the mean squared distance of views to their mean view, `(D,)`.

    The mean is taken over images and views. The mean of (zᵃ - zᵇ)² over pairs of views
    a ≠ b is 2V/(V-1) times as large.
    """
    mean = ops.mean(z, axis=1, keepdims=True)
    return ops.mean(ops.square(z - mean), axis=(0, 1))


def off_diagonal_squares(x, mean_squares):
    """Compute Σ_{i≠j} ⟨xᵢ, xⱼ⟩² / R² over the columns of a matrix.

    The Gram matrix G = x xᵀ of the samples has ‖G‖² = ‖xᵀx‖²: the smaller one of G and
    xᵀx is computed. With G the sum is a difference, which loses digits where one column
    outweighs all others: about 1e-7 of that column's ⟨xᵢ, xᵢ⟩² / R².

    Args:
        x: Matrix `(R, D)`.
        mean_squares: ⟨xᵢ, xᵢ⟩ / R of each column, `(D,)`.

    Returns:
        float32 scalar.
    """
    dim = x.shape[1]

    def in_feature_space():
        product = _gram(ops.transpose(x)) / row_count(x)
        return ops.sum(ops.square(product * (1.0 - ops.eye(dim, dtype="float32"))))

    def in_sample_space():
        gram = _gram(x) / row_count(x)
        return ops.sum(ops.square(gram)) - ops.sum(ops.square(mean_squares))

    return _choose(dim < ops.shape(x)[0], in_feature_space, in_sample_space)


def mean_view_terms(z, per_view=False):
    """Compare each view with the mean view of its image.

    Args:
        z: Projections `(B, V, D)`. They are standardised here; z̄ is the mean over the
            standardised views.
        per_view: Whether to standardise each view over B, as for `center`.

    Returns:
        Two float32 scalars: the mean over views of Σᵢ (1 - ⟨zᵃᵢ, z̄ᵢ⟩/B)², and
        Σ_{i≠j} (⟨z̄ᵢ, z̄ⱼ⟩/B)².
    """
    on, means, mean_squares = 0.0, [], []
    for chunk in _feature_chunks(z):
        chunk = standardize(chunk, per_view)
        mean = ops.mean(chunk, axis=1, keepdims=True)
        diagonal = ops.mean(chunk * mean, axis=0)
        on = on + ops.sum(ops.square(1.0 - diagonal))
        means.append(ops.squeeze(mean, axis=1))
        mean_squares.append(ops.mean(diagonal, axis=0))
    means, mean_squares = ops.concatenate(means, axis=1), ops.concatenate(mean_squares)
    return on / z.shape[1], off_diagonal_squares(means, mean_squares)


def pairwise_terms(z, per_view=False):
    """Compare each view with each other view of its image.

    Args:
        z: Projections `(B, V, D)`. They are standardised here; C^{ab} is zᵃᵀ zᵇ / B of
            the standardised views a and b.
        per_view: Whether to standardise each view over B, as for `center`.

    Returns:
        Two float32 scalars: the means over all pairs of views a ≠ b of
        Σᵢ (1 - C^{ab}ᵢᵢ)² and of Σ_{i≠j} (C^{ab}ᵢⱼ)².
    """
    views, dim = z.shape[1:]
    on, off = _choose(
        dim * (views - 1) < 2 * ops.shape(z)[0],
        lambda: _pairs_in_feature_space(standardize(z, per_view)),
        lambda: _pairs_in_sample_space(z, per_view),
    )
    count = views * (views - 1) / 2
    return on / count, off / count


def _pairs_in_feature_space(z):
    """Sum over pairs with matrices C^{ab}: one product of each view with all later."""
    views, dim = ops.unstack(z, axis=1), z.shape[2]
    on = off = 0.0
    different = ops.expand_dims(1.0 - ops.eye(dim, dtype="float32"), 1)
    for a in range(len(views) - 1):
        later = ops.concatenate(views[a + 1 :], axis=1)
        products = _backend.matmul(ops.transpose(views[a]), later) / row_count(z)
        products = ops.reshape(products, (dim, -1, dim))
        diagonals = ops.diagonal(products, axis1=0, axis2=2)
        on = on + ops.sum(ops.square(1.0 - diagonals))
        off = off + ops.sum(ops.square(products * different))
    return on, off


def _pairs_in_sample_space(z, per_view):
    """Sum over pairs with Gram matrices Gᵃ = zᵃ zᵃᵀ / B.

    Σ_{a≠b} ‖C^{ab}‖² = ‖Σₐ Gᵃ‖² - Σₐ ‖Gᵃ‖².
    """
    on = squares = grams = 0.0
    for chunk in _feature_chunks(z):
        x = ops.transpose(standardize(chunk, per_view), (1, 0, 2))
        grams = grams + _gram(x) / row_count(z)
        for diagonal, weight in _pair_diagonals(x):
            on = on + ops.sum(ops.square(1.0 - diagonal) * weight)
            squares = squares + ops.sum(ops.square(diagonal) * weight)
    all_pairs = ops.sum(ops.square(ops.sum(grams, axis=0)))
    different_views = all_pairs - ops.sum(ops.square(grams))
    return on, different_views / 2.0 - squares


def _feature_chunks(z):
    """Split `(B, V, D)` along the features into tensors of a limited size."""
    batch, views, dim = z.shape
    most = ACCELERATOR_CHUNK_SIZE if _backend.has_accelerator() else CPU_CHUNK_SIZE
    step = max(1, most // ((batch or 1) * views))
    return ops.split(z, list(range(step, dim, step)), axis=2) if step < dim else [z]


def _pair_diagonals(x):
    """Compute C^{ab}ᵢᵢ of all pairs from `(V, B, D)`, with weights that sum over pairs.

    Returns:
        A list of `(diagonals, weights)`. The sum of all weighted entries counts each
        unordered pair of views once.
    """
    if x.shape[0] <= MAX_ELEMENTWISE_VIEWS and not _backend.has_accelerator():
        pairs = itertools.combinations(ops.unstack(x, axis=0), 2)
        return [(ops.mean(a * b, axis=0), 1.0) for a, b in pairs]
    by_feature = ops.transpose(x, (2, 0, 1))
    different = 1.0 - ops.eye(x.shape[0], dtype="float32")
    return [(_gram(by_feature) / row_count(x[0]), different / 2.0)]


def _choose(condition, if_true, if_false):
    """Call one of two functions: now if the batch size is known, else in the graph."""
    if isinstance(condition, bool):
        return if_true() if condition else if_false()
    return ops.cond(condition, if_true, if_false)


@ops.custom_gradient
def _gram(x):
    """Compute x xᵀ, whose gradient (A + Aᵀ) x takes one matrix product, not two."""

    def gradient(*arguments, upstream=None):
        if upstream is None:  # TensorFlow and JAX pass the gradient by position.
            (upstream,) = arguments
        return _backend.matmul(upstream + ops.swapaxes(upstream, -1, -2), x)

    return _backend.matmul(x, ops.swapaxes(x, -1, -2)), gradient


def row_count(x):
    """Return the length of the first axis: a float if known, else a float32 tensor."""
    return float(x.shape[0]) if x.shape[0] else ops.cast(ops.shape(x)[0], "float32")
