"""The model that learns from V views of each image."""

from typing import Any

import keras
from keras import ops

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl.losses import BarlowTwins
from keras_mvssl.models.inputs import check_parts
from keras_mvssl.models.inputs import check_pixels_of
from keras_mvssl.models.inputs import check_views
from keras_mvssl.models.inputs import tell_steps
from keras_mvssl.models.parts import check_views_layer
from keras_mvssl.models.parts import output_size
from keras_mvssl.views import RandomViews

# The step whose views are seen in evaluation: one that training does not reach.
# (Keras takes the remainder by 2**31 - 2 of seeds on TensorFlow.)
EVALUATION_STEP = 2**30


@keras.saving.register_keras_serializable("keras_mvssl")
class MultiViewModel(keras.Model):
    """An encoder and a projector, trained on multiple views without labels.

    All views of a batch pass through the encoder folded into one batch, `(B·V, ...)`,
    so that batch normalisation sees them together. Training is Keras' own
    `train_step` of each backend; only `compute_loss` differs: there are no targets, the
    loss is computed from the projections of the views. Targets that a data set yields
    are ignored.

    Args:
        encoder: A `keras.Model` from images `(N, h, w, C)` in [0, 255] to pooled
            features `(N, F)`, functional or Sequential with known shapes: one of
            `keras_mvssl.models` or your own. Wrap a subclassed model in a functional
            one: `keras.Model(inputs, model(inputs))`.
        projector: A `keras.Model` from features `(N, F)` to projections
            `(N, D)`.
        views: Optional `RandomViews`. With it, `fit` takes images `(B, H, W, C)` and
            views are made on the device. `predict` then sees one clean view of each
            image, `evaluate` and validation V views that are the same every time.
        name: Name of the model.

    Call arguments:
        x: Views `(B, V, h, w, C)`, V >= 2, uint8 or float, in [0, 255]; or images
            `(B, H, W, C)` for a model with `views`.
        training: Whether batch normalisation uses the statistics of the batch, and
            whether `views` draws.

    Returns:
        Projections `(B, V, D)`; of images outside training `(B, 1, D)`.

    Raises:
        ValueError: For an encoder, a projector and views that do not fit, input of
            another rank, or arrays given to `fit` that leave a batch of one image.

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

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        views: RandomViews | None = None,
        name: str = "multi_view_model",
        **kwargs: Any,
    ):
        # Pixels reach `views` as they are; the encoder casts for itself.
        super().__init__(name=name, autocast=False, **kwargs)
        features = output_size(encoder, "encoder", rank=4)
        output_size(projector, "projector", rank=2)
        if projector.input_shape[-1] != features:
            raise ValueError(
                f"`projector` must take the {features} features of the encoder. "
                f"Received: projector.input_shape={projector.input_shape}"
            )
        if views is not None:
            check_views_layer(views, encoder)
        self.encoder = encoder
        self.projector = projector
        self.views = views
        # Everything is built: checkpoints restore without a first call.
        self.built = True

    def __setattr__(self, name, value):
        # Keras looks at each array in a list for layers and variables. On JAX, all
        # arrays of a training lie in this one, which changes with each step.
        if name == "_jax_state":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

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
        features = self.encoder(folded, training=training)
        projections = self.projector(features, training=training)
        return ops.reshape(projections, (-1, views.shape[1], projections.shape[-1]))

    def compile(self, optimizer="adam", loss=None, **kwargs):
        """Configures training, as `keras.Model.compile`.

        Args:
            optimizer: Optimizer or its name. Defaults to `"adam"`.
            loss: A loss on projections `(B, V, D)`; its `y_true` is ignored. Defaults
                to `BarlowTwins()`. The logs show the terms per feature of the losses
                of `keras_mvssl.losses`, and of others with `term_names`, `terms` and
                `per_feature`.
            **kwargs: The other arguments of `keras.Model.compile`, but for metrics.

        Raises:
            ValueError: For losses of Keras, and for metrics: both need targets.
        """
        distribution.refuse_keras_distribution()
        loss = BarlowTwins() if loss is None else loss
        of_keras = str(getattr(loss, "__module__", "")).startswith("keras.src.")
        if of_keras or not callable(loss):
            raise ValueError(
                "`loss` must be a loss on projections (B, V, D), such as one of "
                "`keras_mvssl.losses`: others compare with targets, and there are "
                f"none. Received: loss={loss}"
            )
        for name in ("metrics", "weighted_metrics"):
            if kwargs.get(name):
                raise ValueError(
                    "Metrics compare with targets, and there are none. Use a callback, "
                    "such as `keras_mvssl.callbacks.LinearProbe`. "
                    f"Received: {name}={kwargs[name]}"
                )
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        distribution.synchronize(self)
        _backend.fuse_batch_normalization(self)
        self._terms = _Terms(getattr(loss, "term_names", ()))

    def compile_from_config(self, config):
        # Keras leaves this to models that override `compile`.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        if sample_weight is not None:
            raise ValueError(
                "A loss on the statistics of a batch has no weights of samples. "
                f"Received: sample_weight={sample_weight}"
            )
        if self.views is not None and not training:
            # Not the clean view, which there is no loss of.
            y_pred = self._project(self.views(x, step=EVALUATION_STEP), training)
        y_pred = distribution.gather(y_pred)
        # There are no targets: the projections stand in for the unused `y`.
        loss = super().compute_loss(x=x, y=y_pred, y_pred=y_pred, training=training)
        loss = distribution.share(loss, self.loss, y_pred)
        if self._terms.means:
            # Computed once more; compilers merge the two.
            terms = self.loss.terms(ops.stop_gradient(y_pred))
            terms = self.loss.per_feature(terms, y_pred.shape[-1])
            self._terms.update(terms, ops.shape(y_pred)[0])
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
        """Trains on views, as `keras.Model.fit`.

        Args:
            x: A data set of views `(B, V, h, w, C)`, best from
                `keras_mvssl.data.multiview`, whose `steps_per_epoch` is used; or an
                array of views `(N, V, h, w, C)`. For a model with `views`, images
                `(B, H, W, C)`, best from `keras_mvssl.data.batches`, or an array.
            y: Ignored.
            batch_size: int. For arrays; defaults to 32.
            epochs: int. Passes over the data.
            verbose, callbacks, **kwargs: As of `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: Before training, for views outside [0, 255], arrays that leave a
                last batch of one image, and endless data sets without
                `steps_per_epoch`. The same of `validation_data`.
        """
        for name in ("sample_weight", "class_weight"):
            if kwargs.get(name) is not None:
                raise ValueError(
                    "A loss on the statistics of a batch has no weights of samples. "
                    f"Received: {name}={kwargs[name]}"
                )
        check_views(x, "x", batch_size, kwargs.get("validation_split", 0))
        if hasattr(x, "element_spec") or hasattr(x, "steps_per_epoch"):
            kwargs.setdefault("shuffle", False)  # A data set shuffles itself.
        tell_steps(x, kwargs, "steps_per_epoch")
        validation = kwargs.get("validation_data")
        if validation is not None:
            held_out = validation
            if isinstance(held_out, (tuple, list)):
                held_out = held_out[0]
            size = kwargs.get("validation_batch_size") or batch_size
            check_views(held_out, "validation_data", size)
            tell_steps(held_out, kwargs, "validation_steps")
            if held_out is validation and hasattr(validation, "shape"):
                kwargs["validation_data"] = (validation, None)
        distribution.equalize(self)
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
        """The loss and its terms, as `keras.Model.evaluate`; input as for `fit`."""
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has checked that one.
            check_views(x, "x", batch_size)
            tell_steps(x, kwargs, "steps")
        return super().evaluate(x, y, batch_size, verbose, **kwargs)

    def predict(self, x, batch_size=None, verbose="auto", **kwargs):
        """Projections `(N, V, D)`, as `keras.Model.predict`; `(N, 1, D)` of images."""
        check_pixels_of(x, "x")
        check_parts(x, "x", batch_size)
        tell_steps(x, kwargs, "steps")
        return super().predict(x, batch_size, verbose, **kwargs)

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


class _Terms:
    """Means over an epoch of the terms of a loss.

    Not a Keras object: Keras would go on tracking those of an earlier `compile`.
    """

    def __init__(self, names):
        self.means = {name: keras.metrics.Mean(name=name) for name in names}

    def update(self, terms, images):
        # Weighted by the images of a batch, as Keras weights the loss.
        for name, mean in self.means.items():
            mean.update_state(terms[name], sample_weight=images)
