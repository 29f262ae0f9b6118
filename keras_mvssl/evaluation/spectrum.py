"""Spectrum of features: the number of directions in use, and the decay of the tail.

Every measure is computed in float64 from one eigendecomposition: that of the smaller of
the two Gram matrices of the features.
"""

import dataclasses
import numbers

import numpy as np

from keras_mvssl._internal.checks import as_array
from keras_mvssl._internal.pixels import host_array

# First and last rank between which Ghosh et al. (2024) fit alpha.
AUTHORS_RANKS = (4, 100)


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """Power law fitted by `alpha_req`.

    Attributes:
        alpha: Exponent of the decay, eigenvalue ∝ rank^-alpha.
        r_squared: Share of the (weighted) variance of the log eigenvalues that the
            fitted line explains, at most 1.
        ranks: `(first, last)` rank of the fit, both included.
        intercept: Log eigenvalue of the fitted line at rank 1.
    """

    alpha: float
    r_squared: float
    ranks: tuple[int, int]
    intercept: float


@dataclasses.dataclass(frozen=True)
class SpectrumResult:
    """Result of `spectrum`.

    Attributes:
        eigenvalues: Eigenvalues of the covariance of the features, largest first,
            `(F,)`.
        power_law: Power law of `alpha_req`; None with too few positive eigenvalues.
        rankme: See `rankme`.
        effective_rank: See `effective_rank`.
        participation_ratio: See `participation_ratio`.
        std: Standard deviation of each feature, `(F,)`.
    """

    eigenvalues: np.ndarray
    power_law: PowerLaw | None
    rankme: float
    effective_rank: float
    participation_ratio: float
    std: np.ndarray


def spectrum(
    features: np.ndarray, ranks: tuple[int, int] = AUTHORS_RANKS
) -> SpectrumResult:
    """Compute all measures of this module at once.

    Args:
        features: `(N, F)`; or projections `(B, V, D)`, each view being one row.
        ranks: Same as in `alpha_req`.

    Returns:
        A `SpectrumResult`.

    Raises:
        ValueError: For fewer than two rows, or features that are not finite.

    Example:
    ```python
    features, _ = keras_mvssl.evaluation.extract_features(encoder, splits.test)
    found = keras_mvssl.evaluation.spectrum(features)
    print(found.power_law.alpha, found.rankme)
    ```
    """
    features = _as_matrix(features)
    eigenvalues = covariance_eigenvalues(features)
    positive = np.count_nonzero(eigenvalues)
    return SpectrumResult(
        eigenvalues=eigenvalues,
        power_law=power_law(eigenvalues, ranks) if positive >= ranks[0] + 2 else None,
        rankme=rankme(features),
        effective_rank=_exp_entropy(eigenvalues),
        participation_ratio=_participation(eigenvalues),
        std=features.std(axis=0, dtype="float64"),
    )


def covariance_eigenvalues(features: np.ndarray) -> np.ndarray:
    """Compute the eigenvalues `(F,)` of the covariance of features, largest first.

    Features are `(N, F)`. Eigenvalues below the rounding error of the largest, or of
    the features, are 0.

    Example:
    ```python
    keras_mvssl.evaluation.covariance_eigenvalues(features)[:10]
    ```
    """
    features = _as_matrix(features)
    # Of a constant feature, subtraction leaves what its mean is rounded by.
    rounding = len(features) * np.finfo("float64").eps * np.abs(features).max()
    return _eigenvalues(features - features.mean(axis=0), rounding)


def alpha_req(features: np.ndarray, ranks: tuple[int, int] = AUTHORS_RANKS) -> PowerLaw:
    """Compute the exponent α with which the eigenvalues of the features decay.

    α is the negated slope of log eigenvalue against log rank, fitted by least squares
    with weights 1/rank. Natural images and features that generalise well have an α near
    1; a larger α means that few directions carry most of the variance.

    α is biased where samples are few: large eigenvalues of the sample are too large,
    and there are no more eigenvalues than samples. For Gaussian features with α = 1,
    F = 200 gives 1.17 from N = 100, 1.03 from 200 and 1.00 from 2,000 on; F = 512 gives
    0.93 from 256, 0.96 from 512 and 0.99 from 5,120. With α = 0.5 and F = 200,
    N = 100, 200 and 2,000 give 0.78, 0.59 and 0.49 (means of 5 draws). Compare α at
    equal N, and use N >= 10 F.

    Args:
        features: `(N, F)`.
        ranks: `(first, last)` rank of the fit, counted from 1, both included. The last
            rank is cut to the number of positive eigenvalues. Defaults to (4, 100), as
            in the code of Ghosh et al. (2024).

    Returns:
        A `PowerLaw`.

    Raises:
        ValueError: For features that are not finite, ranks out of order, or fewer than
            three positive eigenvalues between the ranks.

    Example:
    ```python
    keras_mvssl.evaluation.alpha_req(features, ranks=(1, 30)).alpha
    ```

    References:
        Agrawal et al., "α-ReQ: assessing representation quality in self-supervised
        learning by measuring eigenspectrum decay" (2022). Weights and ranks are taken
        from the code of Ghosh et al. (2024).
    """
    return power_law(covariance_eigenvalues(features), ranks)


def rankme(features: np.ndarray) -> float:
    """Compute RankMe: exp of the entropy of the singular values, 1 to min(N, F).

    The features are not centred.

    Example:
    ```python
    keras_mvssl.evaluation.rankme(features)
    ```

    Reference: Garrido et al., "RankMe" (2023), eq. 1.
    """
    return _exp_entropy(np.sqrt(_eigenvalues(_as_matrix(features))))


def effective_rank(features: np.ndarray) -> float:
    """Compute exp of the entropy of the eigenvalues of the covariance, from 1 to F.

    Eigenvalues are shares of variance, so that small directions count less than in
    `rankme`, which uses singular values. Constant features give 0.

    Example:
    ```python
    keras_mvssl.evaluation.effective_rank(features)
    ```
    """
    return _exp_entropy(covariance_eigenvalues(features))


def participation_ratio(features: np.ndarray) -> float:
    """Compute (Σλ)² / Σλ² of the eigenvalues λ of the covariance, from 1 to F.

    Constant features give 0.

    Example:
    ```python
    keras_mvssl.evaluation.participation_ratio(features)
    ```
    """
    return _participation(covariance_eigenvalues(features))


def _as_matrix(features):
    features = as_array(host_array(features, "features"), "features")
    if features.ndim < 2 or len(features.reshape(-1, features.shape[-1])) < 2:
        raise ValueError(
            "`features` must be (N, F) with at least two rows. "
            f"Received: features.shape={features.shape}"
        )
    features = features.reshape(-1, features.shape[-1]).astype("float64", copy=False)
    bad = np.count_nonzero(~np.isfinite(features))
    if bad:
        raise ValueError(
            "`features` must be finite. "
            f"Received: {bad} values of {features.size} that are not finite"
        )
    return features


def _eigenvalues(x, rounding=0.0):
    """Return the eigenvalues of xᵀx / N, largest first, of x with errors `rounding`."""
    rows, columns = x.shape
    gram = x.T @ x if rows >= columns else x @ x.T
    values = np.linalg.eigvalsh(gram)[::-1] / rows
    values = np.pad(values, (0, columns - len(values)))
    error = max(x.shape) * np.finfo("float64").eps * max(values[0], 0.0)
    error = max(error, columns * rounding**2)
    return np.where(values > error, values, 0.0)


def power_law(eigenvalues, ranks=AUTHORS_RANKS):
    """Fit the power law of `alpha_req` to eigenvalues, given largest first."""
    is_pair = isinstance(ranks, (tuple, list)) and len(ranks) == 2
    are_ints = is_pair and all(isinstance(x, numbers.Integral) for x in ranks)
    if not are_ints or not 1 <= ranks[0] < ranks[1]:
        raise ValueError(
            "`ranks` must be two ints (first, last) with 1 <= first < last. "
            f"Received: ranks={ranks}"
        )
    first, last = map(int, ranks)
    last = min(last, int(np.count_nonzero(eigenvalues)))
    if last - first < 2:
        raise ValueError(
            "A power law needs at least three positive eigenvalues between the ranks. "
            f"Received: ranks={tuple(ranks)}, {np.count_nonzero(eigenvalues)} positive "
            "eigenvalues"
        )
    rank = np.arange(first, last + 1)
    x, y, weights = np.log(rank), np.log(eigenvalues[first - 1 : last]), 1 / rank
    weights = weights / weights.sum()
    x_mean, y_mean = weights @ x, weights @ y
    slope = weights @ ((x - x_mean) * (y - y_mean)) / (weights @ (x - x_mean) ** 2)
    residual = y - y_mean - slope * (x - x_mean)
    total = weights @ (y - y_mean) ** 2
    r_squared = 1.0 if total == 0 else 1 - (weights @ residual**2) / total
    return PowerLaw(
        float(-slope), float(r_squared), (first, last), float(y_mean - slope * x_mean)
    )


def _exp_entropy(values):
    if not values.any():
        return 0.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _participation(values):
    return float(values.sum() ** 2 / np.sum(values**2)) if values.any() else 0.0
