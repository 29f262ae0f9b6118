"""The linear probe: what a linear classifier can read from frozen features."""

import dataclasses
import numbers

import numpy as np

from keras_mvssl.evaluation import logistic
from keras_mvssl.evaluation import paper_probe
from keras_mvssl.evaluation import ridge
from keras_mvssl.evaluation.labelled import Labelled
from keras_mvssl.evaluation.labelled import as_features

# Strengths to choose from, strongest first: each fit starts from the one before.
L2_GRID = (1.0, 3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5)
PROTOCOLS = ("logistic", "ridge", "paper")


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


def linear_probe(
    train: Labelled,
    test: Labelled,
    protocol: str = "logistic",
    l2: float | str = "auto",
    fraction: float = 1.0,
    seed: int = 0,
) -> LinearProbeResult:
    """Fits a linear classifier to features and tests it. Deterministic.

    Features are standardised with the statistics of the training set.

    - `"logistic"`: multinomial logistic regression, the mean cross-entropy plus
      l2/2 · ‖W‖², minimised to convergence by L-BFGS.
    - `"ridge"`: the mean square on one-hot targets plus l2 · ‖W‖² (with an l2 of at
      least 1e-6), in closed form: the fastest, and less accurate where features are
      few (on those of `recipes/shapes.py` 71.5 % where `"logistic"` finds 80.9 %).
    - `"paper"`: what the authors report. Adam at 1e-3 for 200 epochs in batches of 512,
      cross-entropy with label smoothing 0.1, weight decay 1e-6; not standardised.
      Give it features averaged over views to compare with published numbers.

    Args:
        train: `(features, labels)`, `(N, F)` and `(N,)`, labels of an int type, >= 0.
        test: The same, for the accuracy only.
        protocol: `"logistic"`, `"ridge"` or `"paper"`.
        l2: Strength of the penalty, or `"auto"`: the one from 1 to 1e-5, in steps of
            about 3, with the least loss (cross-entropy, or the mean square) on a tenth
            of each class of the *training* examples, held out; the classifier is then
            fitted to all of them. The search goes from strong to weak and ends where
            the loss has clearly risen. Where no class has six examples, nothing is held
            out and it is 0.01. `"paper"` has its own.
        fraction: Share of the training labels to use, in (0, 1], the same of each
            class and at least one: 0.01 and 0.1 are usual.
        seed: int. Seed of the choice of labels, of the held-out tenth and of batches.

    Returns:
        A `LinearProbeResult`.

    Raises:
        ValueError: For counts that differ, features that are not finite, fewer than
            two classes, or a test label that no training example has.

    Example:

    ```python
    extract = keras_mvssl.evaluation.extract_features
    train, test = extract(encoder, splits.train), extract(encoder, splits.test)
    print(keras_mvssl.evaluation.linear_probe(train, test).accuracy)
    ```

    Reference of `"paper"`: the code of Ghosh et al. (2024).
    """
    check_settings(protocol, l2, fraction, seed)
    train, test = as_features(train, test)
    classes, y = np.unique(train[1], return_inverse=True)
    if fraction < 1:
        kept = _stratified(y, lambda count: max(1, round(fraction * count)), seed)
        train, y = (train[0][kept], train[1][kept]), y[kept]
    if protocol == "paper":
        l2 = paper_probe.WEIGHT_DECAY
        x, x_test = train[0], test[0]
        weights = paper_probe.fit(x, y, len(classes), seed)
    else:
        x, x_test = _standardized(train[0], test[0])
        method = logistic if protocol == "logistic" else ridge
        start = None
        if l2 == "auto":
            # About a tenth of each class, and never the whole of it.
            held_out = _stratified(y, lambda count: round(count / 10), seed)
            l2, start = _choose_l2(method, x, y, held_out, len(classes))
        (weights,) = method.fit_path(x, y, len(classes), [l2], start)
    predictions = classes[np.argmax(x_test @ weights[:-1] + weights[-1], axis=1)]
    accuracy = float(np.mean(predictions == test[1]))
    return LinearProbeResult(accuracy, float(l2), predictions)


def check_settings(protocol, l2, fraction, seed=0):
    """Raises ValueError for settings of `linear_probe` that it does not have."""
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"`protocol` must be one of {list(PROTOCOLS)}. "
            f"Received: protocol={protocol!r}"
        )
    number = isinstance(l2, numbers.Real) and 0 <= l2 < np.inf
    is_auto = isinstance(l2, str) and l2 == "auto"
    if not is_auto and not (number and protocol != "paper"):
        raise ValueError(
            "`l2` must be a number of at least 0, or 'auto', which it must be under "
            f"protocol='paper'. Received: l2={l2!r}, protocol={protocol!r}"
        )
    if not isinstance(fraction, numbers.Real) or not 0 < fraction <= 1:
        raise ValueError(
            f"`fraction` must be within (0, 1]. Received: fraction={fraction}"
        )
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise ValueError(f"`seed` must be an int of at least 0. Received: seed={seed}")


def _standardized(x, x_test):
    mean, std = x.mean(axis=0, dtype="float64"), x.std(axis=0, dtype="float64")
    # What is left of a constant feature is rounding; it is switched off.
    varies = std > 1e-6 * np.abs(x).max(axis=0)
    scale = np.where(varies, 1 / np.where(varies, std, 1), 0).astype("float32")
    mean = mean.astype("float32")
    return (x - mean) * scale, (x_test - mean) * scale


def _stratified(y, how_many, seed):
    """A mask of `how_many(count)` random rows of each class of `count` rows."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(y), bool)
    for label in range(y.max() + 1):
        rows = rng.permutation(np.flatnonzero(y == label))
        mask[rows[: how_many(len(rows))]] = True
    return mask


def _choose_l2(method, x, y, held_out, classes):
    if not held_out.any():
        return 1e-2, None
    x_val, y_val = x[held_out], y[held_out]
    best = (np.inf, None, None)
    path = method.fit_path(x[~held_out], y[~held_out], classes, L2_GRID, tolerance=1e-3)
    for l2, weights in zip(L2_GRID, path, strict=True):
        loss = method.loss(x_val @ weights[:-1] + weights[-1], y_val)
        if loss < best[0]:
            best = (loss, l2, weights)
        elif loss > 1.02 * best[0]:
            break  # Weaker penalties overfit further.
    return best[1:]
