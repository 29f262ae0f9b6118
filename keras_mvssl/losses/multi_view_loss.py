"""The base class of the losses on several views, and checks of their weights."""

import math
import numbers
from typing import Any

import keras
from keras import ops

from keras_mvssl.losses import correlations


class MultiViewLoss(keras.losses.Loss):
    """A weighted sum of terms, each computed from projections `(B, V, D)`.

    A subclass defines `term_names` and the methods `terms`, `weights` and `counts`.
    """

    term_names: tuple[str, ...] = ()

    def __init__(self, name, **kwargs):
        dtype = kwargs.pop("dtype", None) or "float32"  # whatever Keras' `floatx` is
        if keras.dtype_policies.get(dtype).compute_dtype != "float32":
            raise ValueError(
                "`dtype` must be 'float32', in which losses are computed for "
                f"projections of any float type. Received: dtype={dtype!r}"
            )
        super().__init__(name=name, dtype=dtype, **kwargs)

    def prepare(self, projections: Any) -> Any:
        """Return the projections that the terms are computed from, as float32.

        Args:
            projections: `(B, V, D)`, any float type.

        Returns:
            float32 `(B, V, D)`, normalised where the loss normalises projections.
        """
        return correlations.as_projections(projections)

    def terms(self, projections: Any) -> dict[str, Any]:
        """Compute the terms before weighting, `{name: float32 scalar}`."""
        raise NotImplementedError

    def weights(self, dim: int) -> dict[str, float]:
        """Return the weights of the terms for `dim` features, `{name: float}`."""
        raise NotImplementedError

    def counts(self, dim: int) -> dict[str, int]:
        """Return the number that `per_feature` divides each term by, `{name: int}`."""
        raise NotImplementedError

    def per_feature(self, terms: dict[str, Any], dim: int) -> dict[str, Any]:
        """Divide each term by its count of summands, to make it comparable across D.

        Args:
            terms: The terms that `terms` returned.
            dim: int. The number of features D.

        Returns:
            `{name: term}`: sums over D features divided by D, and sums over ordered
            pairs of features divided by D(D-1). In `VICReg` the former are means
            already, and the redundancy, a sum divided by D, is divided by D-1.
        """
        counts = self.counts(dim)
        return {name: term / max(counts[name], 1) for name, term in terms.items()}

    def __call__(self, y_true, y_pred, sample_weight=None):
        refuse_weights("sample_weight", sample_weight)
        y_pred = ops.convert_to_tensor(y_pred)
        # Keras requires targets: the projections stand in for the unused ones.
        return super().__call__(y_pred, y_pred)

    def call(self, y_true, y_pred):
        terms = self.terms(y_pred)
        weights = self.weights(y_pred.shape[-1])
        loss = sum(weights[name] * term for name, term in terms.items())
        # Under `tf.distribute`, Keras scales only losses that have an axis.
        return ops.reshape(loss, (1,))


def refuse_weights(name, value):
    """Refuse weights of samples or classes: losses of a whole batch cannot use them."""
    if value is not None:
        raise ValueError(
            f"`{name}` is not supported: the loss is computed from statistics of the "
            f"whole batch. Received: {name}={value}"
        )


def check_weight(value, name, or_auto=False):
    """Check that a weight is a finite number of at least 0, or `"auto"` if allowed."""
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
    """Return β as a float: 4/D for `"auto"`, where D is `dim`."""
    if not isinstance(dim, numbers.Integral) or dim < 1:
        raise ValueError(f"`dim` must be an int of at least 1. Received: dim={dim!r}")
    return 4.0 / dim if beta == "auto" else float(beta)
