"""Least squares on one-hot targets with an L2 penalty, in closed form."""

import numpy as np

# Examples that are held in float64 at once.
_ROWS_AT_ONCE = 4096


def fit_path(x, y, classes, strengths, start=None, tolerance=None):
    """Solve for the weights of each strength in turn, like `logistic.fit_path`.

    The weights are those of the minimum in float64: where many have it, as with a
    strength of 0 and features that repeat each other, the smallest of them. The system
    has the size of the features or of the examples, whichever is smaller.
    """
    del start, tolerance  # These are for iterative methods.
    target = np.eye(classes)[y]
    bias, mean = target.mean(axis=0), x.mean(axis=0, dtype="float64")
    target = target - bias
    rows, features = x.shape
    in_features = features <= rows
    if in_features:
        gram, right = _products(x, mean, target)
    else:
        centered = x - mean
        gram, right = centered @ centered.T, target
    values, vectors = np.linalg.eigh(gram / rows)
    # In directions without variance there is only rounding.
    varies = values > max(x.shape) * np.finfo("float64").eps * max(values[-1], 0.0)
    values, vectors = values[varies], vectors[:, varies]
    along = vectors.T @ right / rows
    for l2 in strengths:
        solved = vectors @ (along / (values + l2)[:, None])
        weights = solved if in_features else centered.T @ solved
        yield np.vstack([weights, bias - mean @ weights])


def loss(scores, y):
    """Compute the mean squared error of scores `(N, classes)` to one-hot targets."""
    return np.mean(np.square(scores - np.eye(scores.shape[1])[y]))


def _products(x, mean, target):
    """Compute (x - mean)ᵀ (x - mean) and (x - mean)ᵀ target in float64.

    In float32 the first is wrong by more than a weak penalty adds to it.
    """
    gram, right = 0.0, 0.0
    for start in range(0, len(x), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        part = x[rows].astype("float64") - mean
        gram, right = gram + part.T @ part, right + part.T @ target[rows]
    return gram, right
