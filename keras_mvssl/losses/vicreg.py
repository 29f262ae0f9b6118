"""VICReg loss for any number of views."""

from typing import Any

import keras
from keras import ops

from keras_mvssl.losses import correlations
from keras_mvssl.losses.multi_view_loss import MultiViewLoss
from keras_mvssl.losses.multi_view_loss import check_weight


@keras.saving.register_keras_serializable("keras_mvssl")
class VICReg(MultiViewLoss):
    """VICReg loss for V >= 2 views of each image.

    The loss pulls the views of an image together (invariance), keeps each feature at a
    standard deviation of at least 1 (variance), and keeps different features
    uncorrelated (redundancy, which the authors of VICReg call covariance):

        loss = invariance weight · invariance + variance weight · variance
               + covariance weight · redundancy

    - invariance: the mean over pairs of views a ≠ b, images and features of
      (zᵃ - zᵇ)², computed as 2V/(V-1) times the mean squared distance to the mean view;
    - variance: the mean over views and features of max(0, 1 - √(var + 1e-4));
    - redundancy: twice the mean over views of Σ_{i≠j} Covᵢⱼ² / D.

    Variances and covariances are computed for each view over the batch, and unbiased.
    At V = 2 the loss equals the code that the authors of VICReg published. The terms of
    eq. 49 of Ghosh et al. are invariance · D, variance and redundancy / 2; their
    multi-view code compares each view with the mean of the other views instead. The
    time is linear in V. The gradient grows with the cube of the features: in float16,
    the gradient overflows where features reach hundreds.

    Args:
        invariance: Weight of the invariance, finite and at least 0.
        variance: Weight of the variance, finite and at least 0.
        covariance: Weight of the redundancy, finite and at least 0.
        name: Name of the loss.

    Call arguments:
        y_true: Ignored, may be None: there are no targets.
        y_pred: Projections `(B, V, D)`, any float type, of at least 2 images and 2
            views. B is the size of the whole batch, on all devices together.

    Returns:
        The loss, a float32 scalar.

    Raises:
        ValueError: For a weight outside its range, or projections of another shape.

    Example:
    ```python
    loss = keras_mvssl.losses.VICReg(invariance=25.0, variance=25.0)
    model.compile(optimizer="adam", loss=loss)
    ```

    References:
        Bardes et al., "VICReg" (2022), eq. 1-6 and Algorithm 1.
        Ghosh et al., "Harnessing small projectors and multiple views for efficient
        vision pretraining" (2024), eq. 49.
    """

    term_names = ("invariance", "variance", "redundancy")

    def __init__(
        self,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        name: str = "vicreg",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        check_weight(invariance, "invariance")
        check_weight(variance, "variance")
        check_weight(covariance, "covariance")
        self.invariance = float(invariance)
        self.variance = float(variance)
        self.covariance = float(covariance)

    def terms(self, projections: Any) -> dict[str, Any]:
        """Compute the terms whose weighted sum is the loss.

        Args:
            projections: `(B, V, D)`.

        Returns:
            `{"invariance": ..., "variance": ..., "redundancy": ...}`, float32 scalars.
            Two are means over features. The redundancy is a sum over D(D-1) ordered
            pairs of features divided by D: twice the mean over views, which for two
            views is the sum over views.
        """
        z = self.prepare(projections)
        views, dim = z.shape[1:]
        distance = 2.0 * views / (views - 1) * correlations.distance_to_mean(z)
        count = correlations.row_count(z)
        unbiased = count / (count - 1.0)
        z = correlations.center(z, per_view=True)
        variances = ops.mean(ops.square(z), axis=0)
        deviations = ops.sqrt(unbiased * variances + 1e-4)
        covariance = sum(
            correlations.off_diagonal_squares(x, v)
            for x, v in zip(ops.unstack(z, axis=1), ops.unstack(variances))
        )
        return {
            "invariance": ops.mean(distance),
            "variance": ops.mean(ops.relu(1.0 - deviations)),
            "redundancy": 2.0 / (views * dim) * unbiased**2 * covariance,
        }

    def weights(self, dim: int) -> dict[str, float]:
        return {
            "invariance": self.invariance,
            "variance": self.variance,
            "redundancy": self.covariance,
        }

    def counts(self, dim: int) -> dict[str, int]:
        return {"invariance": 1, "variance": 1, "redundancy": dim - 1}

    def get_config(self):
        return {
            **super().get_config(),
            "invariance": self.invariance,
            "variance": self.variance,
            "covariance": self.covariance,
        }
