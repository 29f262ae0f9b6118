"""The objective that stands behind Barlow Twins and VICReg."""

from typing import Any

import keras
from keras import ops

from keras_mvssl.losses import correlations
from keras_mvssl.losses.multi_view_loss import MultiViewLoss
from keras_mvssl.losses.multi_view_loss import check_weight
from keras_mvssl.losses.multi_view_loss import resolve_beta


@keras.saving.register_keras_serializable("keras_mvssl")
class ReformulatedSSL(MultiViewLoss):
    """The paper's reformulated objective for V >= 2 views of each image.

    Views stay close to the mean view of their image, while the features are kept
    orthonormal by a penalty:

        loss = invariance + variance + β · redundancy

    - invariance: (1/V) Σₐ Σᵢ of the mean over images of (z̄ᵢ - zᵃᵢ)²;
    - variance: Σᵢ (1 - Covᵢᵢ)²;
    - redundancy: Σ_{i≠j} Covᵢⱼ²,

    with z̄ the mean over the views of an image and Cov the biased covariance over all
    B·V rows. β does not weigh the variance: at β = c/D features could vanish.

    With β >= 1, its minimum over all functions on a finite set of images is spanned by
    the top eigenfunctions of the augmentation kernel that are orthogonal to constants:
    images that share more views get features that are closer
    (`recipes/studies/augmentation_kernel.py` shows it). A small β lets features
    overlap: at 4/D, all D directions are filled only where that many functions agree
    between views.

    The time is linear in V as long as D < B·V, and no matrix is larger than the
    projections themselves: the covariance is D x D there, and B·V x B·V where D is
    larger. The gradient grows with the cube of the features, as that of `VICReg`.

    Args:
        beta: Weight of the redundancy, finite and at least 0, or `"auto"`: 4/D, after
            the paper's β = O(1/D); see `BarlowTwins`.
        name: Name of the loss.

    Call arguments:
        y_true: Ignored, and may be None: there are no targets.
        y_pred: Projections `(B, V, D)`, any float type. B is the whole batch, of all
            devices. At least 2 images and 2 views.

    Returns:
        The loss, a float32 scalar.

    Raises:
        ValueError: For a `beta` outside its range, or projections of another shape.

    Example:

    ```python
    loss = keras_mvssl.losses.ReformulatedSSL(beta=1.0)
    model.compile(optimizer="adam", loss=loss)
    ```

    Reference:
        Ghosh et al., "Harnessing small projectors and multiple views for efficient
        vision pretraining" (2024), eq. 10 with its constraint as a penalty, and
        Theorem 3.1.
    """

    term_names = ("invariance", "variance", "redundancy")

    def __init__(
        self, beta: float | str = "auto", name: str = "reformulated_ssl", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        check_weight(beta, "beta", or_auto=True)
        self.beta = beta if beta == "auto" else float(beta)

    def resolve_beta(self, dim: int) -> float:
        """The weight of the redundancy for projections of `dim` features, an int."""
        return resolve_beta(self.beta, dim)

    def terms(self, projections: Any) -> dict[str, Any]:
        """The parts whose weighted sum is the loss.

        Args:
            projections: `(B, V, D)`.

        Returns:
            `{"invariance": ..., "variance": ..., "redundancy": ...}`, float32 scalars:
            two sums over D features and one over D(D-1) ordered pairs of features.
        """
        z = correlations.center(self.prepare(projections))
        variances = ops.mean(ops.square(z), axis=(0, 1))
        rows = ops.reshape(z, (-1, z.shape[-1]))
        return {
            "invariance": ops.sum(correlations.distance_to_mean(z)),
            "variance": ops.sum(ops.square(1.0 - variances)),
            "redundancy": correlations.off_diagonal(rows, variances),
        }

    def weights(self, dim: int) -> dict[str, float]:
        return {
            "invariance": 1.0,
            "variance": 1.0,
            "redundancy": self.resolve_beta(dim),
        }

    def counts(self, dim: int) -> dict[str, int]:
        return {"invariance": dim, "variance": dim, "redundancy": dim * (dim - 1)}

    def get_config(self):
        return {**super().get_config(), "beta": self.beta}
