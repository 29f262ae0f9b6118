"""Loss for the reformulated objective behind Barlow Twins and VICReg."""

from typing import Any

import keras
from keras import ops

from keras_mvssl.losses import correlations
from keras_mvssl.losses.multi_view_loss import MultiViewLoss
from keras_mvssl.losses.multi_view_loss import check_weight
from keras_mvssl.losses.multi_view_loss import resolve_beta


@keras.saving.register_keras_serializable("keras_mvssl")
class ReformulatedSSL(MultiViewLoss):
    """Reformulated objective of the paper for V >= 2 views of each image.

    The loss keeps views close to the mean view of their image, while a penalty keeps
    the features orthonormal:

        loss = invariance + variance + β · redundancy

    - invariance: (1/V) Σₐ Σᵢ of the mean over images of (z̄ᵢ - zᵃᵢ)²;
    - variance: Σᵢ (1 - Covᵢᵢ)²;
    - redundancy: Σ_{i≠j} Covᵢⱼ²,

    with z̄ the mean over the views of an image and Cov the biased covariance over all
    B·V rows. β does not weigh the variance: otherwise features could vanish at β = c/D.

    With β >= 1, the minimum of the loss over all functions on a finite set of images is
    spanned by the top eigenfunctions of the augmentation kernel that are orthogonal to
    constants: images that share more views get features that are closer
    (`recipes/studies/augmentation_kernel.py` shows this). A small β lets features
    overlap: with β = 4/D, all D directions are filled only where D functions agree
    between views.

    The covariance is a D x D matrix where D < B·V, and is replaced by a B·V x B·V
    matrix where D is larger, so that no matrix is larger than the projections. The time
    is linear in V as long as D < B·V. The gradient grows with the cube of the features,
    as the gradient of `VICReg` does.

    Args:
        beta: Weight of the redundancy, finite and at least 0, or `"auto"` for 4/D, as
            in `BarlowTwins`: the paper has β = O(1/D).
        name: Name of the loss.

    Call arguments:
        y_true: Ignored, may be None: there are no targets.
        y_pred: Projections `(B, V, D)`, any float type, of at least 2 images and 2
            views. B is the size of the whole batch, on all devices together.

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
        """Return the weight β of the redundancy for projections of `dim` features."""
        return resolve_beta(self.beta, dim)

    def terms(self, projections: Any) -> dict[str, Any]:
        """Compute the terms whose weighted sum is the loss.

        Args:
            projections: `(B, V, D)`.

        Returns:
            `{"invariance": ..., "variance": ..., "redundancy": ...}`, float32 scalars:
            two sums over D features, and a sum over D(D-1) ordered pairs of features.
        """
        z = correlations.center(self.prepare(projections))
        variances = ops.mean(ops.square(z), axis=(0, 1))
        rows = ops.reshape(z, (-1, z.shape[-1]))
        return {
            "invariance": ops.sum(correlations.distance_to_mean(z)),
            "variance": ops.sum(ops.square(1.0 - variances)),
            "redundancy": correlations.off_diagonal_squares(rows, variances),
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
