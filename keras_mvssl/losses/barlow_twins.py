"""Barlow Twins loss for any number of views."""

import typing
from typing import Any
from typing import Literal

import keras

from keras_mvssl.losses import correlations
from keras_mvssl.losses.multi_view_loss import MultiViewLoss
from keras_mvssl.losses.multi_view_loss import check_weight
from keras_mvssl.losses.multi_view_loss import resolve_beta

Pairing = Literal["mean", "all"]


@keras.saving.register_keras_serializable("keras_mvssl")
class BarlowTwins(MultiViewLoss):
    """Barlow Twins loss for V >= 2 views of each image.

    The loss pulls the features of an image's views together (invariance) and keeps
    different features uncorrelated (redundancy):

        loss = invariance + β · redundancy

    Features are first standardised to mean 0 and variance 1 over the batch. With
    z̄ the mean over the views of an image and C^{ab} = zᵃᵀ zᵇ / B:

    - `pairing="mean"` compares each view with the mean view:
      (1/V) Σₐ Σᵢ (1 - ⟨zᵃᵢ, z̄ᵢ⟩/B)² + β Σ_{i≠j} (⟨z̄ᵢ, z̄ⱼ⟩/B)², for every V >= 2. The
      authors' code has this for V > 2, so that their values of β have the same meaning
      here; for V = 2 it takes all pairs. The invariance is about ((V-1)/V)² times that
      of all pairs, a quarter at V = 2, since the mean view contains the view itself.
    - `pairing="all"` is the mean over the V(V-1) ordered pairs of views of
      Σᵢ (1 - C^{ab}ᵢᵢ)² + β Σ_{i≠j} (C^{ab}ᵢⱼ)². At V = 2 with
      `standardization="per_view"`, this is the original Barlow Twins loss.

    Both take a number of matrix products that is linear in V, in the space of features
    or of images, whichever is cheaper. Everything is computed in float32 at full
    precision.

    Args:
        beta: Weight of the redundancy, finite and at least 0, or `"auto"` for 4/D. The
            paper has β = O(1/D); the constant 4 is near the authors' tuned values for
            CIFAR-10 (median of β·D: 3.8).
        pairing: `"mean"` or `"all"`. The authors' runs of 2 views have `"all"`.
        standardization: `"joint"`, over all B·V rows (the authors' code), or
            `"per_view"`, over the B rows of each view (the original Barlow Twins).
        l2_normalize: Whether to first divide each projection by its norm and multiply
            it by √D. The authors' code divides by the norm, which their paper does not
            mention.
        name: Name of the loss.

    Call arguments:
        y_true: Ignored, may be None: there are no targets.
        y_pred: Projections `(B, V, D)`, any float type, of at least 2 images and 2
            views. B is the size of the whole batch, on all devices together.

    Returns:
        The loss, a float32 scalar.

    Raises:
        ValueError: For an argument outside its range, or projections of another shape.

    Example:
    ```python
    loss = keras_mvssl.losses.BarlowTwins(beta=0.02)
    model.compile(optimizer="adam", loss=loss)
    loss.terms(projections)  # {"invariance": ..., "redundancy": ...}
    ```

    References:
        Ghosh et al., "Harnessing small projectors and multiple views for efficient
        vision pretraining" (2024), Section 3 and eq. 10, and the authors' code.
        Zbontar et al., "Barlow Twins" (2021), eq. 1.
    """

    term_names = ("invariance", "redundancy")

    def __init__(
        self,
        beta: float | str = "auto",
        pairing: Pairing = "mean",
        standardization: str = "joint",
        l2_normalize: bool = False,
        name: str = "barlow_twins",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        check_weight(beta, "beta", or_auto=True)
        if pairing not in typing.get_args(Pairing):
            raise ValueError(
                f"`pairing` must be 'mean' or 'all'. Received: pairing={pairing!r}"
            )
        if standardization not in ("joint", "per_view"):
            raise ValueError(
                "`standardization` must be 'joint' or 'per_view'. "
                f"Received: standardization={standardization!r}"
            )
        self.beta = beta if beta == "auto" else float(beta)
        self.pairing = pairing
        self.standardization = standardization
        self.l2_normalize = bool(l2_normalize)

    def resolve_beta(self, dim: int) -> float:
        """Return the weight β of the redundancy for projections of `dim` features."""
        return resolve_beta(self.beta, dim)

    def prepare(self, projections: Any) -> Any:
        z = self._prepare_rows(projections)
        return correlations.standardize(z, per_view=self._per_view)

    def terms(self, projections: Any) -> dict[str, Any]:
        """Compute the two terms whose weighted sum is the loss.

        Args:
            projections: `(B, V, D)`.

        Returns:
            `{"invariance": ..., "redundancy": ...}`, float32 scalars: a sum over D
            features, and a sum over D(D-1) ordered pairs of features.
        """
        z = self._prepare_rows(projections)
        if self.pairing == "all":
            compare = correlations.pairwise_terms
        else:
            compare = correlations.mean_view_terms
        invariance, redundancy = compare(z, per_view=self._per_view)
        return {"invariance": invariance, "redundancy": redundancy}

    @property
    def _per_view(self):
        return self.standardization == "per_view"

    def _prepare_rows(self, projections):
        z = super().prepare(projections)
        return correlations.normalize_rows(z) if self.l2_normalize else z

    def weights(self, dim: int) -> dict[str, float]:
        return {"invariance": 1.0, "redundancy": self.resolve_beta(dim)}

    def counts(self, dim: int) -> dict[str, int]:
        return {"invariance": dim, "redundancy": dim * (dim - 1)}

    def get_config(self):
        return {
            **super().get_config(),
            "beta": self.beta,
            "pairing": self.pairing,
            "standardization": self.standardization,
            "l2_normalize": self.l2_normalize,
        }
