"""What the losses on several views have in common."""

import math
import numbers
from typing import Any

import keras
from keras import ops

from keras_mvssl.losses import correlations


class MultiViewLoss(keras.losses.Loss):
    """A weighted sum of terms, each computed from projections `(B, V, D)`.

    A subclass gives `term_names` and the methods `terms`, `weights` and `counts`.
    """

    term_names: tuple[str, ...] = ()

    def __init__(self, name, **kwargs):
        kwargs.setdefault("dtype", "float32")  # whatever `floatx`
        super().__init__(name=name, **kwargs)

    def prepare(self, projections: Any) -> Any:
        """What the statistics of the loss are taken of: float32 `(B, V, D)`.

        The projections as they are, or normalised as the loss normalises them.
        """
        return correlations.as_projections(projections)

    def terms(self, projections: Any) -> dict[str, Any]:
        """The terms before weighting, `{name: float32 scalar}`."""
        raise NotImplementedError

    def weights(self, dim: int) -> dict[str, float]:
        """The weights of the terms for `dim` features, `{name: float}`."""
        raise NotImplementedError

    def counts(self, dim: int) -> dict[str, int]:
        """What each term sums over for `dim` features, `{name: int}`."""
        raise NotImplementedError

    def per_feature(self, terms: dict[str, Any], dim: int) -> dict[str, Any]:
        """The terms divided by what they sum over, comparable across D.

        Args:
            terms: What `terms` returned.
            dim: int. The number of features D.

        Returns:
            `{name: term}`: sums over D features divided by D, those over ordered pairs
            of features by D(D-1). Of `VICReg` the former are means already, and its
            redundancy, a sum divided by D, is divided by D-1.
        """
        counts = self.counts(dim)
        return {name: term / max(counts[name], 1) for name, term in terms.items()}

    def __call__(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            raise ValueError(
                "A loss on the statistics of a batch has no weights of samples. "
                f"Received: sample_weight={sample_weight}"
            )
        y_pred = ops.convert_to_tensor(y_pred)
        return super().__call__(y_pred, y_pred)  # Keras wants targets.

    def call(self, y_true, y_pred):
        terms = self.terms(y_pred)
        weights = self.weights(y_pred.shape[-1])
        loss = sum(weights[name] * term for name, term in terms.items())
        # Not a scalar: under `tf.distribute`, Keras scales only losses with an axis.
        return ops.reshape(loss, (1,))


def check_weight(value, name, or_auto=False):
    """Raises ValueError for a weight that is not a finite number of at least 0."""
    if or_auto and isinstance(value, str) and value == "auto":
        return
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        auto = ", or 'auto'" if or_auto else ""
        raise ValueError(
            f"`{name}` must be a finite number of at least 0{auto}. "
            f"Received: {name}={value!r}"
        )


def resolve_beta(beta, dim):
    """β itself, or 4/D for `"auto"`."""
    if not isinstance(dim, numbers.Integral) or dim < 1:
        raise ValueError(f"`dim` must be an int of at least 1. Received: dim={dim!r}")
    return 4.0 / dim if beta == "auto" else float(beta)
