"""Multinomial logistic regression with an L2 penalty, solved to convergence."""

import numpy as np

# Up to this number of features, steps are preconditioned with the inverse of the
# covariance of the features, because correlated features are slow to fit.
_MAX_PRECONDITIONED_FEATURES = 2048


def fit_path(x, y, classes, strengths, start=None, tolerance=1e-4):
    """Fit weights for each strength in turn, starting from the previous weights.

    Args:
        x: Standardised features `(N, F)`, float32.
        y: Labels `(N,)`, 0 to `classes - 1`.
        classes: int. Number of classes.
        strengths: L2 strengths, best ordered from strong to weak.
        start: Optional weights to start from.
        tolerance: Largest component of the gradient at which to stop. For strengths
            below 0.01 the tolerance is reduced in proportion, because weak penalties
            leave small gradients.

    Yields:
        float32 weights `(F + 1, classes)`, whose last row is the biases.
    """
    precondition = x.shape[1] <= _MAX_PRECONDITIONED_FEATURES
    covariance = x.T @ x / len(x) if precondition else None
    weights = start
    for l2 in strengths:
        scaled_tolerance = min(tolerance, max(100 * tolerance * l2, 1e-7))
        weights = _fit(x, y, classes, l2, covariance, weights, scaled_tolerance)
        yield weights


def loss(scores, y):
    """Compute the mean cross-entropy of scores `(N, classes)`."""
    scores = scores.astype("float64")
    scores -= scores.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(y)), y])


def _fit(x, y, classes, l2, covariance=None, start=None, tolerance=1e-4):
    rows = np.arange(len(y))

    def value_and_gradient(flat):
        weights = flat.reshape(-1, classes)
        scores = (x @ weights[:-1].astype("float32")).astype("float64") + weights[-1]
        scores -= scores.max(axis=1, keepdims=True)
        error = np.exp(scores)
        total = error.sum(axis=1, keepdims=True)
        value = np.mean(np.log(total[:, 0]) - scores[rows, y])
        error /= total
        error[rows, y] -= 1.0
        error = (error / len(x)).astype("float32")
        gradient = np.vstack([x.T @ error, error.sum(axis=0)]).astype("float64")
        gradient[:-1] += l2 * weights[:-1]
        return value + l2 / 2 * np.sum(weights[:-1] ** 2), gradient.ravel()

    size = (x.shape[1] + 1) * classes
    flat = np.zeros(size) if start is None else start.ravel().astype("float64")
    precondition = _preconditioner(covariance, classes, l2)
    flat = _lbfgs(value_and_gradient, flat, precondition, tolerance)
    return flat.reshape(-1, classes).astype("float32")


def _preconditioner(covariance, classes, l2):
    """Return a function that applies the inverse Hessian of equally likely classes."""
    if covariance is None:
        return lambda flat: flat
    ridge = (l2 + 1e-6) * np.eye(len(covariance))
    inverse = np.linalg.inv(covariance.astype("float64") / classes + ridge)

    def apply(flat):
        weights = flat.reshape(-1, classes)
        return np.vstack([inverse @ weights[:-1], classes * weights[-1:]]).ravel()

    return apply


def _lbfgs(value_and_gradient, x, precondition, tolerance, max_iterations=500):
    """Minimise with L-BFGS and backtracking (Nocedal & Wright, algorithm 7.5)."""
    value, gradient = value_and_gradient(x)
    pairs, memory = [], 10
    for _ in range(max_iterations):
        if np.abs(gradient).max() < tolerance:
            break
        direction, alphas = gradient.copy(), []
        for s, d, rho in reversed(pairs):
            alphas.append(rho * (s @ direction))
            direction -= alphas[-1] * d
        direction = precondition(direction)
        if pairs:
            s, d, rho = pairs[-1]
            direction /= rho * (d @ precondition(d))
        for (s, d, rho), alpha in zip(pairs, reversed(alphas)):
            direction += (alpha - rho * (d @ direction)) * s
        slope, step = gradient @ direction, 1.0
        while True:
            new_value, new_gradient = value_and_gradient(x - step * direction)
            if new_value <= value - 1e-4 * step * slope or step < 1e-4:
                break
            step /= 2
        if new_value >= value:
            break  # The rounding of float32 products allows no lower value.
        s, d = -step * direction, new_gradient - gradient
        x, value, gradient = x + s, new_value, new_gradient
        if s @ d > 1e-10 * np.linalg.norm(s) * np.linalg.norm(d):
            pairs = [*pairs[-(memory - 1) :], (s, d, 1 / (s @ d))]
    return x
