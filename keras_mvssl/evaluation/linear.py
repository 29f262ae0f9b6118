"""The linear probe: what a linear classifier can read from frozen features."""

import dataclasses

import numpy as np

from keras_mvssl.checks import check_classes
from keras_mvssl.checks import check_labelled

# Strengths to choose from, strongest first: each fit starts from the one before.
L2_GRID = (1.0, 3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5)


@dataclasses.dataclass(frozen=True)
class LinearProbeResult:
    """What `linear_probe` found.

    Attributes:
        accuracy: Share of the test examples classified rightly, in [0, 1].
        l2: The strength of the L2 penalty that was used.
        predictions: Predicted labels of the test examples, `(N,)`.
    """

    accuracy: float
    l2: float
    predictions: np.ndarray


def linear_probe(train, test, l2="auto", seed=0):
    """Fits multinomial logistic regression to features and tests it.

    Features are standardised with the statistics of the training set; the objective is
    the mean cross-entropy plus l2/2 · ‖W‖², minimised by L-BFGS. Deterministic.

    Args:
        train: `(features, labels)`, `(N, F)` and `(N,)`, labels being ints >= 0.
        test: The same, for the accuracy only.
        l2: Strength of the penalty, or `"auto"`: the one of `L2_GRID` with the best
            accuracy on a tenth of the *training* examples, held out; the classifier is
            then fitted to all of them.
        seed: int. Seed of the choice of the held-out tenth.

    Returns:
        A `LinearProbeResult`.

    Raises:
        ValueError: For counts that differ, features that are not finite, fewer than
            two classes, or a test label that no training example has.

    Example:

    ```python
    train = extract_features(encoder, (train_images, train_labels))
    test = extract_features(encoder, (test_images, test_labels))
    print(linear_probe(train, test).accuracy)
    ```
    """
    if l2 != "auto" and not (isinstance(l2, (int, float)) and 0 <= l2 < np.inf):
        raise ValueError(
            f"`l2` must be a number of at least 0, or 'auto'. Received: l2={l2!r}"
        )
    check_labelled(train, "train")
    check_labelled(test, "test")
    train, test = (
        (np.asarray(x, "float32").reshape(len(x), -1), np.asarray(y))
        for x, y in (train, test)
    )
    _check(train, test)
    mean, std = train[0].mean(axis=0), train[0].std(axis=0)
    # What is left of a constant feature is rounding; it is switched off.
    varies = std > 1e-6 * np.abs(train[0]).max(axis=0)
    scale = np.where(varies, 1 / np.where(varies, std, 1), 0)
    x, x_test = ((features - mean) * scale for features in (train[0], test[0]))
    classes, y = np.unique(train[1], return_inverse=True)

    start = None
    if l2 == "auto":
        held_out = _stratified_tenth(y, np.random.default_rng(seed))
        l2, start = _choose_l2(x, y, held_out, len(classes))
    weights = _fit(x, y, len(classes), l2, start)
    predictions = classes[np.argmax(_scores(x_test, weights), axis=1)]
    accuracy = float(np.mean(predictions == test[1]))
    return LinearProbeResult(accuracy, l2, predictions)


def _check(train, test):
    for name, data in (("train", train), ("test", test)):
        bad = int(np.count_nonzero(~np.isfinite(data[0])))
        if bad:
            raise ValueError(
                f"The features of `{name}` must be finite. Received: {bad} values that "
                f"are not, of {data[0].size}"
            )
    if train[0].shape[1] != test[0].shape[1]:
        raise ValueError(
            "`train` and `test` must have the same features. Received: "
            f"{train[0].shape[1]} in train, {test[0].shape[1]} in test"
        )
    check_classes(train[1], test[1])


def _stratified_tenth(y, rng):
    """A mask of about a tenth of each class, and never of the whole class."""
    held_out = np.zeros(len(y), bool)
    for label in range(y.max() + 1):
        rows = rng.permutation(np.flatnonzero(y == label))
        held_out[rows[: round(len(rows) / 10)]] = True
    return held_out


def _choose_l2(x, y, held_out, classes):
    if not held_out.any():
        return 1e-2, None
    x_fit, y_fit, x_val, y_val = x[~held_out], y[~held_out], x[held_out], y[held_out]
    weights, best = None, (-1.0, None, None)
    for l2 in L2_GRID:
        weights = _fit(x_fit, y_fit, classes, l2, weights, tolerance=1e-3)
        accuracy = np.mean(np.argmax(_scores(x_val, weights), axis=1) == y_val)
        if accuracy > best[0]:
            best = (accuracy, l2, weights)
        elif accuracy < best[0] - 0.01:
            break  # Weaker penalties overfit further.
    return best[1:]


def _scores(x, weights):
    return x @ weights[:-1] + weights[-1]


def _fit(x, y, classes, l2, start=None, max_iterations=200, tolerance=1e-4):
    """Weights `(F + 1, classes)`, the last row being the biases."""
    target = np.eye(classes, dtype="float32")[y]

    def value_and_gradient(flat):
        weights = flat.reshape(-1, classes)
        scores = _scores(x, weights.astype("float32")).astype("float64")
        scores -= scores.max(axis=1, keepdims=True)
        log_total = np.log(np.exp(scores).sum(axis=1, keepdims=True))
        value = -np.mean(np.sum(target * (scores - log_total), axis=1))
        error = ((np.exp(scores - log_total) - target) / len(x)).astype("float32")
        gradient = np.vstack([x.T @ error, error.sum(axis=0)]).astype("float64")
        gradient[:-1] += l2 * weights[:-1]
        return value + l2 / 2 * np.sum(weights[:-1] ** 2), gradient.ravel()

    size = (x.shape[1] + 1) * classes
    flat = np.zeros(size) if start is None else start.ravel().astype("float64")
    flat = _lbfgs(value_and_gradient, flat, max_iterations, tolerance)
    return flat.reshape(-1, classes).astype("float32")


def _lbfgs(value_and_gradient, x, max_iterations, tolerance, memory=10):
    """Limited-memory BFGS with backtracking (Nocedal & Wright, algorithm 7.5)."""
    value, gradient = value_and_gradient(x)
    pairs = []
    for _ in range(max_iterations):
        if np.abs(gradient).max() < tolerance:
            break
        direction, alphas = gradient.copy(), []
        for s, d, rho in reversed(pairs):
            alphas.append(rho * (s @ direction))
            direction -= alphas[-1] * d
        if pairs:
            s, d, rho = pairs[-1]
            direction /= rho * (d @ d)
        else:
            direction /= np.linalg.norm(gradient)
        for (s, d, rho), alpha in zip(pairs, reversed(alphas)):
            direction += (alpha - rho * (d @ direction)) * s
        slope, step = gradient @ direction, 1.0
        while True:
            new_value, new_gradient = value_and_gradient(x - step * direction)
            if new_value <= value - 1e-4 * step * slope or step < 1e-4:
                break
            step /= 2
        if new_value >= value:
            break  # As low as float32 products let it get.
        s, d = -step * direction, new_gradient - gradient
        x, value, gradient = x + s, new_value, new_gradient
        if s @ d > 1e-10 * np.linalg.norm(s) * np.linalg.norm(d):
            pairs = [*pairs[-(memory - 1) :], (s, d, 1 / (s @ d))]
    return x
