"""Random views made on the accelerator, with any backend."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.pixels import check_batch
from keras_mvssl._internal.pixels import host_array
from keras_mvssl.views import color
from keras_mvssl.views import resampling
from keras_mvssl.views.augmentation import Augmentation
from keras_mvssl.views.augmentation import check_channels
from keras_mvssl.views.augmentation import check_views
from keras_mvssl.views.draws import Draws
from keras_mvssl.views.draws import check_place
from keras_mvssl.views.draws import whole_number
from keras_mvssl.views.extra_steps import apply_steps
from keras_mvssl.views.extra_steps import check_steps
from keras_mvssl.views.parameters import Parameters


@keras.saving.register_keras_serializable("keras_mvssl")
class RandomViews(keras.layers.Layer):
    """Layer that makes V random views of each image, on the device that trains.

    Crop, antialiased resize, flip and blur are one matrix per axis of an image, and the
    colour steps are one matrix per view, so that a view takes a few matrix products.
    The layer compiles under JAX and TensorFlow (XLA too) and runs on torch.

    The parameters of a view are a function of (seed, step, place of the image in the
    batch of all devices, view): the same on every backend, compiled or not, on any
    number of devices, and for any size of the batch and number of views. The step
    counts training calls and is a weight of the layer: a model that is saved and loaded
    in the middle of training continues with the views that it would have drawn
    otherwise.

    `KerasCVViews` follows the same `Augmentation`. Means and standard deviations of the
    views of both agree within 2 % of the range, except where hue turns strong colours
    far. `RandomViews` differs in four points: shrunk crops are antialiased; pixels are
    centred at halves, as in `tf.image.resize`, so that no half pixel is cut off the rim
    of a crop; hue turns RGB about the axis of grays, which keeps the mean of the
    channels, instead of turning HSV, which keeps their maximum; colours are clipped
    once, after all steps, and not rounded. The layer computes in float32 under every
    dtype policy, but some accelerators round factors of products to TF32 or bfloat16.

    Args:
        augmentation: An `Augmentation`.
        views: int >= 2. Views of each image.
        seed: int >= 0. The same seed gives the same views.
        extra: List of steps of your own, applied in this order after the built-in ones
            to all drawn views at once: functions, or Keras layers without weights, that
            take float32 `(N, h, w, C)` in [0, 255] and return the same shape; the
            result is clipped to [0, 255]. A step with an argument `draws` is given a
            function: `draws("angle")` returns float32 numbers `(N,)` in [0, 1), one for
            each view, which are a function of (seed, step, place, view) and the name.
            Steps that use the same name get the same numbers. A function must have no
            other random numbers. A layer with random state of its own, such as
            `keras.layers.RandomErasing`, works too, but its numbers differ between
            backends, numbers of devices and batch sizes; a warning says so. Your own
            functions and layers need the decorator
            `@keras.saving.register_keras_serializable()`, as checkpoints hold them; and
            layers need `dtype="float32"` where the policy is another one.

    Call arguments:
        images: `(B, H, W, C)`, uint8 or float, in [0, 255].
        step: Optional int scalar from 0 to 2**63 - 1. Step of training whose views to
            make; the step that the layer counts is left alone. Pass the step in
            tf.data.
        offset: Optional int scalar. Place of `images[0]` in the whole batch, which has
            fewer than 2**31 views, if `images` is only a part of the batch. Defaults
            to the place of the replica or process, where each has a part of the batch.
        batch_size: Optional int scalar. Size of the whole batch, against which `offset`
            is checked. The views do not depend on it.
        training: bool. True draws views. False, without a step, gives one view of each
            image: the whole image, resized.

    Returns:
        Views `(B, V, h, w, C)` in [0, 255]; `(B, 1, h, w, C)` if not drawn. They are
        float32 under every dtype policy and `floatx`.

    Raises:
        ValueError: For fewer than two views, images that are not of rank 4, colour
            steps on images that do not have three channels, a step or place that is
            no int or out of its range (tensors are not read), a NumPy array outside
            [0, 255] (tensors are not read), steps in `extra` that Keras cannot save,
            that have weights or that return another shape, or use in `tf.data` with
            another backend than TensorFlow.

    Example:
    ```python
    augmentation = keras_mvssl.views.Augmentation.preset("cifar10")
    views = keras_mvssl.views.RandomViews(augmentation, views=4)
    model = keras_mvssl.MultiViewModel(encoder, projector, views=views)
    model.compile(optimizer="adam")
    model.fit(images, batch_size=256, epochs=10)  # images (N, 32, 32, 3)
    ```

    To look at views, or in tf.data with TensorFlow, call the layer with a step:

    ```python
    drawn = views(images[:8], step=0)  # (8, 4, 32, 32, 3)
    ```
    """

    def __init__(
        self,
        augmentation: Augmentation,
        views: int,
        seed: int = 0,
        extra: Sequence[Callable] = (),
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **{"dtype": "float32", **kwargs}, autocast=False)
        check_views(augmentation, views, seed)
        self.augmentation = augmentation
        self.views = int(views)
        self.seed = int(seed)
        self.extra = check_steps(extra)
        self._to_parameters = Parameters(augmentation)
        self.step = self.add_weight(
            shape=(),
            initializer="zeros",
            dtype="int",
            trainable=False,
            aggregation="only_first_replica",
            name="step",
        )
        self.built = True

    def __call__(self, images, step=None, offset=None, batch_size=None, training=None):
        _backend.refuse_foreign_graph(
            images,
            "`RandomViews` computes with the Keras backend, and tf.data can call no "
            "backend but TensorFlow. Use `MultiViewModel(views=...)`, or use "
            "`KerasCVViews` in tf.data.",
        )
        if isinstance(images, np.ndarray):
            images = host_array(images)
            check_batch(images)
        step = whole_number(step, "step")
        offset = whole_number(offset, "offset")
        batch_size = whole_number(batch_size, "batch_size")
        check_place(images, offset, batch_size, self.views)
        return super().__call__(
            images, step=step, offset=offset, batch_size=batch_size, training=training
        )

    def call(self, images, step=None, offset=None, batch_size=None, training=None):
        self._check(images)
        if step is None and not training:
            return self._clean(images)
        if step is None:
            step = self.step.value * 1  # a copy
            self.step.assign_add(1)
        count = ops.shape(images)[0]
        if offset is None:
            offset, _ = distribution.place_in_batch(count)
        draws = self._draws(step, count, offset)
        views = self._augment(ops.cast(images, "float32"), self._to_parameters(draws))
        return apply_steps(self.extra, views, draws) if self.extra else views

    def draw(self, step, count, offset=0):
        """Draw the parameters of the views of one step.

        Args:
            step: int scalar. Step of training.
            count: int. Number of images.
            offset: int scalar. Place of the first image in the whole batch.

        Returns:
            A dict of tensors `(count, V)`: `area` (share of the image), `aspect`, `top`
            and `left` (shares of the margin around the crop), `sigma` (in pixels of the
            view), `brightness`, `contrast`, `saturation` (factors), `hue` (fraction of
            the circle), and bools `flip`, `blur`, `jitter`, `grayscale`, `solarize`.
        """
        step, offset = whole_number(step, "step"), whole_number(offset, "offset")
        return self._to_parameters(self._draws(step, count, offset))

    def _draws(self, step, count, offset):
        # A tensor of int64 may hold places that int32 cannot.
        wide = keras.backend.standardize_dtype(getattr(offset, "dtype", "int32"))
        dtype = "int64" if wide == "int64" else "int32"
        places = ops.cast(offset, dtype) + ops.arange(count, dtype=dtype)
        return Draws(self.seed, step, places, self.views)

    def _augment(self, images, parameters):
        a = self.augmentation
        rows, columns = resampling.view_matrices(a, parameters, images.shape[1:3])
        images = ops.transpose(images, (0, 2, 3, 1))
        # Colours are mixed between the two halves of the crop: the steps commute.
        strips = resampling.resample_columns(images, columns)
        if a.changes_color:
            gray = color.mean_gray(images, columns, rows)
            gain, offset = color.color_map(a, parameters, gray, images.shape[2])
            if len(gain.shape) == 4:
                strips = color.mix_channels(gain, strips)
            else:
                strips = _to_view_rank(gain) * strips
        views = resampling.resample_rows(strips, rows)
        if a.changes_color:
            views = views + _to_view_rank(offset)
        views = ops.clip(views, 0.0, 255.0)
        if a.solarize:
            inverted = ops.logical_and(
                _to_view_rank(parameters["solarize"]), views >= 128.0
            )
            views = ops.where(inverted, 255.0 - views, views)
        return views

    def _clean(self, images):
        """Return one view of each image: the whole image, resized."""
        images = ops.expand_dims(ops.cast(images, "float32"), 1)
        if images.shape[2:4] == self.augmentation.size:
            return images
        rows, columns = (
            resampling.crop_matrix(
                ops.zeros((1, 1), "float32"), size, size, output_size
            )
            for size, output_size in zip(
                images.shape[2:4], self.augmentation.size, strict=True
            )
        )
        # All images share these matrices, unlike in random views.
        views = ops.matmul(columns[..., None, :, :], images)  # (B, 1, H, w, C)
        views = ops.swapaxes(ops.matmul(rows, ops.swapaxes(views, 2, 3)), 2, 3)
        return ops.clip(views, 0.0, 255.0)

    def _check(self, images):
        shape = images.shape
        if len(shape) != 4 or None in shape[1:]:
            raise ValueError(
                "`images` must have shape (B, H, W, C), with H, W and C known. "
                f"Received: images.shape={tuple(shape)}"
            )
        check_channels(self.augmentation, shape)

    def compute_output_spec(
        self, images, step=None, offset=None, batch_size=None, training=None
    ):
        self._check(images)
        batch, _, *view = self.compute_output_shape(images.shape)
        # Whether a model trains is known when it is called.
        views = None if training is None else 1
        if step is not None or training:
            views = self.views
        return keras.KerasTensor((batch, views, *view), "float32")

    def compute_output_shape(self, input_shape, **kwargs):
        # The number of views is 1 or V, depending on the call.
        return (input_shape[0], None, *self.augmentation.size, input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "augmentation": keras.saving.serialize_keras_object(self.augmentation),
            "views": self.views,
            "seed": self.seed,
            "extra": [keras.saving.serialize_keras_object(step) for step in self.extra],
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["augmentation"] = keras.saving.deserialize_keras_object(
            config["augmentation"]
        )
        config["extra"] = [
            keras.saving.deserialize_keras_object(step)
            for step in config.get("extra", ())
        ]
        return cls(**config)


def _to_view_rank(x):
    """Append three axes to `(B, V)`, so that it broadcasts with views."""
    for _ in range(3):
        x = ops.expand_dims(x, -1)
    return x
