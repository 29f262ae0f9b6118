"""The model that learns from V views of each image, without labels."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl.losses import BarlowTwins
from keras_mvssl.losses.multi_view_loss import refuse_weights
from keras_mvssl.models import inputs
from keras_mvssl.models import loss_step
from keras_mvssl.models.loss_terms import LossTerms
from keras_mvssl.models.loss_terms import refuse_targets
from keras_mvssl.models.watched import watched
from keras_mvssl.views import RandomViews

# Evaluation uses the views of this step, which training does not reach.
EVALUATION_STEP = 2**30


@keras.saving.register_keras_serializable("keras_mvssl")
class MultiViewModel(keras.Model):
    """An encoder and a projector, trained together on V views of each image.

    The views of a batch pass through the encoder as one batch `(B·V, ...)`, so that
    batch normalisation sees all of them together. Training uses the `train_step` that
    Keras has for each backend. Only `compute_loss` differs: the loss is computed from
    the projections of the views, without targets. Targets that a data set yields are
    ignored.

    Args:
        encoder: A `keras.Model` from images `(N, h, w, C)` in [0, 255] to pooled
            features `(N, F)`, functional or Sequential with known shapes: an encoder
            of `keras_mvssl.models` or your own. Wrap a subclassed model in a
            functional model: `keras.Model(inputs, model(inputs))`.
        projector: A `keras.Model` from features `(N, F)` to projections `(N, D)`.
        views: Optional `RandomViews`. With it, `fit` takes images `(B, H, W, C)` and
            makes views on the device. `predict` then uses one clean view of each
            image; `evaluate` and validation use V views that are the same every time.
        name: Name of the model.

    Call arguments:
        x: Views `(B, V, h, w, C)`, V >= 2, uint8 or float, in [0, 255]; or images
            `(B, H, W, C)` for a model with `views`.
        training: Whether batch normalisation uses the statistics of the batch, and
            whether `views` draws random views.

    Returns:
        Projections `(B, V, D)`. With `views`, outside training, `(B, 1, D)`.

    Raises:
        ValueError: For an encoder, a projector and views that do not fit together,
            input of another rank, or arrays in `fit` that leave a batch of one image.

    Example:
    ```python
    encoder = keras_mvssl.models.TinyResNet((32, 32, 3))
    projector = keras_mvssl.models.Projector(encoder.output_shape[-1], dim=256)
    model = keras_mvssl.MultiViewModel(encoder, projector)
    model.compile(optimizer="adam", loss=keras_mvssl.losses.BarlowTwins())
    views = keras_mvssl.views.KerasCVViews(augmentation, views=4)
    model.fit(keras_mvssl.data.multiview(images, views, batch_size=256), epochs=10)
    encoder.save("encoder.keras")
    ```

    With views made on the device, `fit` takes the images themselves:

    ```python
    views = keras_mvssl.views.RandomViews(augmentation, views=4)
    model = keras_mvssl.MultiViewModel(encoder, projector, views)
    model.compile(optimizer="adam")
    model.fit(images, batch_size=256, epochs=10)
    ```

    Reference: Ghosh et al. (2024), Section 3.
    """

    loss_step = None  # A weight, where the loss declares `step`.

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        views: RandomViews | None = None,
        name: str = "multi_view_model",
        **kwargs: Any,
    ):
        # Without autocast, pixels reach `views` unchanged. The encoder casts them.
        super().__init__(name=name, autocast=False, **kwargs)
        features = inputs.output_size(encoder, "encoder", rank=4)
        inputs.output_size(projector, "projector", rank=2)
        if projector.input_shape[-1] != features:
            raise ValueError(
                f"`projector` must take the {features} features of the encoder. "
                f"Received: projector.input_shape={projector.input_shape}"
            )
        if views is not None:
            inputs.check_views_layer(views, encoder)
        self.encoder = encoder
        self.projector = projector
        self.views = views
        # All parts are built: a checkpoint can be restored before the first call.
        self.built = True

    def __setattr__(self, name, value):
        # Keras searches each entry of an assigned list for layers and variables. On
        # JAX, `_jax_state` holds all arrays of the training and changes with each step:
        # the search would cost time in each step.
        if name == "_jax_state":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __call__(self, x, *args, **kwargs):
        if isinstance(x, np.ndarray):
            x = inputs.checked_batch(x, "x")
        return super().__call__(x, *args, **kwargs)

    def call(self, x, training=None):
        if self.views is not None:
            return self._project(self.views(x, training=training), training)
        if len(x.shape) != 5:
            raise ValueError(
                "Views must have shape (B, V, h, w, C). Make them from images with "
                "`keras_mvssl.data.multiview(images, keras_mvssl.views.KerasCVViews("
                "...), batch_size)`, or give the model a `RandomViews`. "
                f"Received: shape={tuple(x.shape)}"
            )
        return self._project(x, training)

    def _project(self, views, training):
        folded = ops.reshape(views, (-1, *views.shape[2:]))
        with _backend.fast_convolutions(self.encoder, training):
            features = self.encoder(folded, training=training)
        projections = self.projector(features, training=training)
        return ops.reshape(projections, (-1, views.shape[1], projections.shape[-1]))

    def compile(self, optimizer="adam", loss=None, **kwargs):
        """Configure training, like `keras.Model.compile`.

        Args:
            optimizer: Optimizer or its name. Defaults to `"adam"`.
            loss: A loss on projections `(B, V, D)` that ignores its `y_true`. Defaults
                to `BarlowTwins()`. If the loss has `term_names`, `terms` and
                `per_feature`, as those of `keras_mvssl.losses` have, the logs show its
                terms per feature. A loss that declares `step = 0`, in its class or in
                `__init__`, finds there, in each call, the number of training steps
                before, an int32 scalar, for `losses.random_normal`; in evaluation,
                2**30. The model counts, in a weight that is saved.
            **kwargs: The other arguments of `keras.Model.compile`, except metrics.

        Raises:
            ValueError: For losses of Keras, and for metrics: both need targets. On JAX,
                for a loss with a `SeedGenerator` or variables, which would not change.
        """
        distribution.refuse_keras_distribution()
        loss = BarlowTwins() if loss is None else loss
        refuse_targets(loss, kwargs)
        loss_step.prepare(self, loss)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        distribution.synchronize(self)
        _backend.fuse_batch_normalization(self)
        self._terms = LossTerms(getattr(loss, "term_names", ()))

    def compile_from_config(self, config):
        # A model that overrides `compile` must override this method as well.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        refuse_weights("sample_weight", sample_weight)
        if self.views is not None and not training:
            # `y_pred` comes from one clean view, and the loss needs at least two views.
            y_pred = self._project(self.views(x, step=EVALUATION_STEP), training)
        y_pred = distribution.gather(y_pred)
        with loss_step.told(self, None if training else EVALUATION_STEP):
            # There are no targets: the projections stand in for the unused `y`.
            loss = super().compute_loss(x=x, y=y_pred, y_pred=y_pred, training=training)
            loss = distribution.share_of_loss(loss, self.loss, y_pred)
            self._terms.update(self.loss, y_pred)
        return loss

    @property
    def metrics(self):
        return [
            *super().metrics,
            *(self._terms.means.values() if self.compiled else ()),
        ]

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        **kwargs,
    ):
        """Train on views, like `keras.Model.fit`.

        Args:
            x: A data set of views `(B, V, h, w, C)`, best from
                `keras_mvssl.data.multiview`, whose `steps_per_epoch` is used; or an
                array of views `(N, V, h, w, C)`. For a model with `views`, images
                `(B, H, W, C)`, best from `keras_mvssl.data.batches`, or an array.
            y: Ignored.
            batch_size: int. Used for arrays. Defaults to 32.
            epochs: int. Number of passes over the data.
            verbose: Same as in `keras.Model.fit`.
            callbacks: Same as in `keras.Model.fit`.
            **kwargs: Other arguments of `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: For pixels outside [0, 255], before training in an array or a
                first batch, at their batch otherwise; before training, for a last batch
                of one image, and for endless data sets without `steps_per_epoch`.
        """
        for name in ("sample_weight", "class_weight"):
            refuse_weights(name, kwargs.get(name))
        split = kwargs.get("validation_split", 0)
        x = inputs.checked_input(x, "x", kwargs, "steps_per_epoch", batch_size, split)
        if not hasattr(x, "shape") and getattr(x, "num_batches", None) is None:
            kwargs.setdefault("shuffle", False)  # Data sets shuffle themselves.
        held_out = inputs.checked_validation(kwargs, batch_size)
        distribution.copy_from_first_process(self)
        _backend.lay_out_filters(self)
        with (
            watched((x, "x"), (held_out, "validation_data")) as (x, held_out),
            _backend.state_kept_on_error(self),
        ):
            if held_out is not None:
                kwargs["validation_data"] = held_out
            return super().fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                **kwargs,
            )

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", **kwargs):
        """Compute the loss and its terms for input as in `fit`."""
        if kwargs.get("_use_cached_eval_dataset"):  # `fit` has checked that data.
            return super().evaluate(x, y, batch_size, verbose, **kwargs)
        x = inputs.checked_input(x, "x", kwargs, "steps", batch_size)
        with watched((x, "x")) as (x,), _backend.state_kept_on_error(self):
            return super().evaluate(x, y, batch_size, verbose, **kwargs)

    def predict(self, x, batch_size=None, verbose="auto", **kwargs):
        """Compute projections, like `keras.Model.predict`.

        Returns:
            Projections `(N, V, D)` of views, `(N, 1, D)` of images.
        """
        x = inputs.checked_input(x, "x", kwargs, "steps", batch_size, for_loss=False)
        with (
            watched((x, "x"), for_loss=False) as (x,),
            _backend.state_kept_on_error(self),
        ):
            return super().predict(x, batch_size, verbose, **kwargs)

    def train_on_batch(self, x, *args, **kwargs):
        """Train on one batch of views or images, like `keras.Model.train_on_batch`."""
        return super().train_on_batch(inputs.checked_batch(x, "x"), *args, **kwargs)

    def test_on_batch(self, x, *args, **kwargs):
        """Compute the loss of one batch, like `keras.Model.test_on_batch`."""
        return super().test_on_batch(inputs.checked_batch(x, "x"), *args, **kwargs)

    def predict_on_batch(self, x):
        """Compute the projections of one batch, like `keras.Model.predict_on_batch`."""
        return super().predict_on_batch(inputs.checked_batch(x, "x"))

    def get_config(self):
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "projector": keras.saving.serialize_keras_object(self.projector),
            "views": keras.saving.serialize_keras_object(self.views),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("encoder", "projector", "views"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return cls(**config)
