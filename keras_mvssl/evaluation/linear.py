"""Linear probe: the test accuracy of a linear classifier on frozen features."""

import dataclasses
import numbers

import numpy as np

from keras_mvssl.evaluation import logistic
from keras_mvssl.evaluation import paper_probe
from keras_mvssl.evaluation import ridge
from keras_mvssl.evaluation.labelled import Labelled
from keras_mvssl.evaluation.labelled import as_features

# L2 strengths to choose from. The strongest comes first, because each fit starts from
# the weights of the fit before.
L2_GRID = (1.0, 3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5)
PROTOCOLS = ("logistic", "ridge", "paper")


@dataclasses.dataclass(frozen=True)
class LinearProbeResult:
    """Result of `linear_probe`.

    Attributes:
        accuracy: Share of the test examples classified correctly, in [0, 1].
        l2: Strength of the L2 penalty that was used.
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
    """Fit a linear classifier to training features and test it on test features.

    Results are deterministic. Features are standardised with the mean and the standard
    deviation of the training set, except under `"paper"`. There are three protocols:

    - `"logistic"`: multinomial logistic regression. L-BFGS minimises the mean
      cross-entropy plus l2/2 · ‖W‖² to convergence.
    - `"ridge"`: least mean square error on one-hot targets plus l2 · ‖W‖², in closed
      form and in float64; with l2=0, the smallest weights of the least error. Ridge is
      the fastest, but less accurate where features are few: 71.5 % on the features of
      `recipes/shapes.py`, where `"logistic"` reaches 80.9 %.
    - `"paper"`: the protocol of the authors. Adam at 1e-3 for 200 epochs in batches of
      512, cross-entropy with label smoothing 0.1, weight decay 1e-6. To compare with
      published numbers, pass features averaged over views.

    Args:
        train: Pair `(features, labels)` of shapes `(N, F)` and `(N,)`, labels of an int
            type and at least 0.
        test: Pair like `train`, used for the accuracy only.
        protocol: `"logistic"`, `"ridge"` or `"paper"`.
        l2: Strength of the penalty, or `"auto"`. With `"auto"`, a tenth of each class
            of the *training* examples is held out. The search tries strengths from 1
            to 1e-5 in steps of about 3, ends where the loss on that tenth has clearly
            risen, and chooses the strength with the least loss (cross-entropy, or mean
            square). The classifier is then fitted to all training examples. If no class
            has six examples, nothing is held out and the strength is 0.01. `"paper"`
            has a fixed strength and allows only `"auto"`.
        fraction: Share of the training labels to use, in (0, 1]: the same share of each
            class, and at least one label. Usual values are 0.01 and 0.1.
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

    Reference: `"paper"` follows the code of Ghosh et al. (2024).
    """
    check_settings(protocol, l2, fraction, seed)
    train, test = as_features(train, test)
    classes, y = np.unique(train[1], return_inverse=True)
    if fraction < 1:
        kept = _stratified_mask(y, lambda count: max(1, round(fraction * count)), seed)
        train, y = (train[0][kept], train[1][kept]), y[kept]
    if protocol == "paper":
        l2 = paper_probe.WEIGHT_DECAY
        x, x_test = train[0], test[0]
        weights = paper_probe.fit(x, y, len(classes), seed)
    else:
        x, x_test = _standardize(train[0], test[0])
        method = logistic if protocol == "logistic" else ridge
        start = None
        if l2 == "auto":
            # A rounded tenth of each class is never the whole class.
            held_out = _stratified_mask(y, lambda count: round(count / 10), seed)
            l2, start = _choose_l2(method, x, y, held_out, len(classes))
        (weights,) = method.fit_path(x, y, len(classes), [l2], start)
    predictions = classes[np.argmax(x_test @ weights[:-1] + weights[-1], axis=1)]
    accuracy = float(np.mean(predictions == test[1]))
    return LinearProbeResult(accuracy, float(l2), predictions)


def check_settings(protocol, l2, fraction, seed=0):
    """Check the settings of `linear_probe`; raise ValueError if one is invalid."""
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"`protocol` must be one of {list(PROTOCOLS)}. "
            f"Received: protocol={protocol!r}"
        )
    is_strength = isinstance(l2, numbers.Real) and 0 <= l2 < np.inf
    is_auto = isinstance(l2, str) and l2 == "auto"
    if not is_auto and not (is_strength and protocol != "paper"):
        raise ValueError(
            "`l2` must be 'auto' or a number of at least 0, and must be 'auto' with "
            f"protocol='paper'. Received: l2={l2!r}, protocol={protocol!r}"
        )
    if not isinstance(fraction, numbers.Real) or not 0 < fraction <= 1:
        raise ValueError(
            f"`fraction` must be within (0, 1]. Received: fraction={fraction}"
        )
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise ValueError(f"`seed` must be an int of at least 0. Received: seed={seed}")


def _standardize(x, x_test):
    mean, std = x.mean(axis=0, dtype="float64"), x.std(axis=0, dtype="float64")
    # A constant feature has a standard deviation of rounding errors. Its scale is 0, as
    # where the inverse would be infinite in float32.
    varies = std > np.maximum(1e-6 * np.abs(x).max(axis=0), 1e-37)
    scale = np.where(varies, 1 / np.where(varies, std, 1), 0).astype("float32")
    mean = mean.astype("float32")
    return (x - mean) * scale, (x_test - mean) * scale


def _stratified_mask(y, how_many, seed):
    """Mark `how_many(count)` random rows of each class, which has `count` rows."""
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
            break  # Weaker penalties would overfit even more.
    return best[1:]
