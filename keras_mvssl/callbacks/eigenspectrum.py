"""Callback that measures the eigenspectrum, and warns of collapse."""

import warnings

import keras
import numpy as np
from keras import ops

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl import evaluation
from keras_mvssl._internal.checks import check_pixels
from keras_mvssl.callbacks.probe import check_counts
from keras_mvssl.callbacks.probe import check_encoder
from keras_mvssl.callbacks.probe import check_fit
from keras_mvssl.callbacks.settled import Settled
from keras_mvssl.evaluation.features import run_in_batches
from keras_mvssl.models.multi_view_model import EVALUATION_STEP


class Spectrum(keras.callbacks.Callback):
    """Callback that measures the spectrum of features and projections after epochs.

    Entries in the logs for the encoder's features of clean images: `alpha` and its
    `alpha_r_squared` (where there are enough directions), `rankme`, `effective_rank`,
    and `feature_std`, the mean of the features' standard deviations.

    Entries for the projections of views: `projection_rankme` and
    `projection_effective_rank`. Projections are prepared as the loss prepares them for
    its statistics (`loss.prepare`, e.g. standardised), but with batch normalisation in
    inference mode. From the second measurement on, the callback warns once when the
    projections use few directions, which is called collapse.

    Args:
        images: `(N, H, W, C)`, in [0, 255]. At least some hundreds; for `alpha` as many
            as there are features, or better ten times as many.
        views: Optional `(B, V, h, w, C)`, views of some images, for the projections.
            Not needed for models with `RandomViews`, which make views of the first 256
            of `images`.
        every: int >= 1. Epochs between measurements; the last epoch is always measured.
        batch_size: int. Images per forward pass.
        batch_statistics: Same as in `LinearProbe`, over `images`.

    Attributes:
        latest: The latest result of `evaluation.spectrum` for the features, or None.

    Example:
    ```python
    spectrum = keras_mvssl.callbacks.Spectrum(splits.test[0][:5000])
    model.fit(stream, epochs=10, callbacks=[spectrum])
    ```
    """

    # Projections that use a smaller share of their directions count as collapsed.
    COLLAPSE_SHARE = 0.05
    # Number of images whose views are projected.
    PROJECTED_IMAGES = 256

    def __init__(
        self,
        images: np.ndarray,
        views: np.ndarray | None = None,
        every: int = 1,
        batch_size: int = 512,
        batch_statistics: bool | None = None,
    ) -> None:
        super().__init__()
        arrays = [("images", images, 4)]
        if views is not None:
            arrays.append(("views", views, 5))
        for name, value, rank in arrays:
            if np.ndim(value) != rank or len(value) < 2:
                shape = "(N, H, W, C)" if rank == 4 else "(B, V, h, w, C)"
                raise ValueError(
                    f"`{name}` must be an array of shape {shape}, N >= 2. "
                    f"Received: {name}.shape={np.shape(value)}"
                )
            check_pixels(value, name)
        check_counts(every=every, batch_size=batch_size)
        self.images = np.asarray(images)
        self.views = None if views is None else np.asarray(views)
        self.every = every
        self.batch_size = batch_size
        self.latest = None
        self._measured, self._warned = 0, False
        self._settled = Settled(batch_statistics)

    def get_state(self):
        return [self._measured, self._warned]

    def set_state(self, state):
        measured, warned = state
        self._measured, self._warned = int(measured), bool(warned)

    def on_train_begin(self, logs=None):
        check_encoder(self.model)
        check_fit(self.model, self.images.shape[1:], "images")
        if self.views is not None:
            check_fit(self.model, self.views.shape[2:], "views")

    def on_epoch_end(self, epoch, logs=None):
        is_last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        if (epoch + 1) % self.every and not is_last:
            return
        found = self.measure()
        logs.update(found)
        if "projection_effective_rank" in found:
            self._measured += 1
            dim = self.model.projector.output_shape[-1]
            self._warn_of_collapse(found["projection_effective_rank"], dim)

    def measure(self) -> dict[str, float]:
        """Measure the spectrum, set `latest`, and return the entries for the logs."""
        self.latest, found = distribution.once(self._measure)
        return found

    def _measure(self):
        """Return the spectrum of the features, and the entries for the logs."""
        with self._settled.encoder(self.model, self.images):
            return self._measure_encoder()

    def _measure_encoder(self):
        labels = np.zeros(len(self.images), int)
        features, _ = evaluation.extract_features(
            self.model.encoder, (self.images, labels), self.batch_size
        )
        found = evaluation.spectrum(features)
        logs = {}
        if found.power_law is not None:
            logs["alpha"] = found.power_law.alpha
            logs["alpha_r_squared"] = found.power_law.r_squared
        logs["rankme"] = found.rankme
        logs["effective_rank"] = found.effective_rank
        logs["feature_std"] = float(found.std.mean())
        projections = self._projections()
        if projections is not None:
            logs["projection_rankme"] = evaluation.rankme(projections)
            logs["projection_effective_rank"] = evaluation.effective_rank(projections)
        return found, logs

    def _projections(self):
        model = self.model
        views = self.views
        if views is None and model.views is not None:
            images = self.images[: self.PROJECTED_IMAGES]
            with _backend.unchanged_random_state(model.views):
                made = model.views(images, step=EVALUATION_STEP, offset=0)
            views = ops.convert_to_numpy(made)
        if views is None:
            return None
        flat = views.reshape(-1, *views.shape[2:])
        features = run_in_batches(model.encoder, flat, self.batch_size)
        projections = run_in_batches(model.projector, features, self.batch_size)
        projections = projections.reshape(*views.shape[:2], -1)
        if hasattr(model.loss, "prepare"):
            projections = ops.convert_to_numpy(model.loss.prepare(projections))
        return projections

    def _warn_of_collapse(self, rank, dim):
        few = max(2.0, self.COLLAPSE_SHARE * dim)
        if rank >= few or self._measured < 2 or self._warned or dim < 4:
            return
        self._warned = True
        warnings.warn(
            f"The {dim} projections use {rank:.1f} directions. If that does not rise, "
            "they collapse: try a larger `beta`, larger batches, a lower learning rate "
            "with warm-up, or stronger augmentation. With a small `beta` directions "
            "come one after the other, and it may take longer.",
            stacklevel=2,
        )
