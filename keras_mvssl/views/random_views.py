"""Views made on the accelerator, by any backend."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.checks import check_pixels
from keras_mvssl._internal.checks import check_range
from keras_mvssl.views import color
from keras_mvssl.views import resampling
from keras_mvssl.views.augmentation import Augmentation
from keras_mvssl.views.augmentation import check_channels
from keras_mvssl.views.augmentation import check_views

# What a view draws, in this order. All are drawn, needed or not, so that a change of
# one strength leaves the others alone.
DRAWS = (
    *("area", "aspect", "top", "left", "flip", "blur", "sigma", "jitter"),
    *("brightness", "contrast", "saturation", "hue", "grayscale", "solarize"),
)


@keras.saving.register_keras_serializable("keras_mvssl")
class RandomViews(keras.layers.Layer):
    """Turns images into V random views each, on the device that trains.

    Crop, antialiased resize, flip and blur are one matrix per axis of an image, and the
    colour steps one matrix per view, so that a view takes a few matrix products. It
    compiles under JAX and TensorFlow (XLA too) and runs on torch.

    Every image and every view draws its own parameters, as a function of (seed, step,
    place in the batch of all devices, view), on one backend (with TensorFlow, XLA draws
    other numbers). The step counts training calls, and is a weight: a model saved and
    loaded in the middle of training goes on with the views that it would have drawn.

    Where it differs from `KerasCVViews`, which follows the same `Augmentation` (means
    and standard deviations of views agree within 2 % of the range, but for images of
    strong colours that hue turns far): shrunk crops are antialiased; pixels are centred
    at halves, as in `tf.image.resize`, so that a crop's rim is not cut by half a pixel;
    hue turns RGB about the axis of grays, which keeps the mean of the channels, instead
    of turning HSV, which keeps their maximum; colours are clipped once, after all
    steps, and not rounded. Float32 under every dtype policy, by the matrix products of
    the device, which on some accelerators round factors to TF32 or bfloat16.

    Args:
        augmentation: An `Augmentation`.
        views: int >= 2. Views of each image.
        seed: int >= 0. The same seed gives the same views.

    Call arguments:
        images: `(B, H, W, C)`, uint8 or float, in [0, 255].
        step: Optional int scalar. Gives the views of that step of training, and leaves
            the layer's own step alone.
        offset: Optional int scalar. Place of `images[0]` in the whole batch, where it
            is a part of one. Replicas of TensorFlow know theirs, others are at 0.
        batch_size: int scalar. Size of that whole batch. Defaults to `offset + B`, or
            to the rows of all replicas.
        training: Whether to draw views. If not, and without a step, there is one view
            of each image: the whole of it, resized. In tf.data, give the step.

    Returns:
        float32 views `(B, V, h, w, C)` in [0, 255]; `(B, 1, h, w, C)` when inactive.

    Raises:
        ValueError: For fewer than two views, images that are not of rank 4, colour
            steps on images that do not have three channels, images outside [0, 255]
            (where values are known: not in compiled code), or use in `tf.data` under
            another backend than TensorFlow.

    Example:

    ```python
    augmentation = keras_mvssl.views.Augmentation.preset("cifar10")
    views = keras_mvssl.views.RandomViews(augmentation, views=4)
    model = keras_mvssl.MultiViewModel(encoder, projector, views=views)
    model.compile(optimizer="adam")
    model.fit(images, batch_size=256, epochs=10)  # images (N, 32, 32, 3)
    ```

    To see them, or with TensorFlow in tf.data, call it with a step:

    ```python
    drawn = views(images[:8], step=0)  # (8, 4, 32, 32, 3)
    ```
    """

    def __init__(
        self,
        augmentation: Augmentation,
        views: int,
        seed: int = 0,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **{"dtype": "float32", **kwargs}, autocast=False)
        check_views(augmentation, views, seed)
        self.augmentation = augmentation
        self.views = views
        self.seed = seed
        # Near seeds must not give near states: torch adds seed and step.
        self._mixed_seed = int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)
        self._seed_dtype = keras.random.SeedGenerator(0).state.dtype
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
            "`RandomViews` computes on the backend, which tf.data cannot call unless "
            "that is TensorFlow. Give it to `MultiViewModel(views=...)`, or use "
            "`KerasCVViews` in tf.data.",
        )
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
            offset, whole = distribution.place_in_batch(count)
            batch_size = whole if batch_size is None else batch_size
        parameters = self.draw(step, count, offset, batch_size)
        return self._augment(ops.cast(images, "float32"), parameters)

    def draw(self, step, count, offset=0, batch_size=None):
        """The parameters of the views of one step.

        Args:
            step: int scalar.
            count: int. Images.
            offset, batch_size: As of the layer.

        Returns:
            A dict of tensors `(count, V)`: `area` (a share of the image), `aspect`,
            `top` and `left` (shares of what the crop leaves), `sigma` (pixels of the
            view), `brightness`, `contrast`, `saturation` (factors), `hue` (a fraction
            of the circle), and bools `flip`, `blur`, `jitter`, `grayscale`, `solarize`.
        """
        if batch_size is None:
            batch_size = offset + count
        places = offset, count, batch_size
        known = all(isinstance(x, int) for x in places)
        if known and not 0 <= offset <= batch_size - count:
            raise ValueError(
                f"The {count} images must lie within the whole batch. "
                f"Received: offset={offset}, batch_size={batch_size}"
            )
        key = ops.stack([ops.cast(x, "int32") for x in (self._mixed_seed, step)])
        uniform = keras.random.uniform(
            (batch_size, self.views, len(DRAWS)),
            seed=_Key(ops.cast(key, self._seed_dtype)),
            dtype="float32",
        )
        if not isinstance(offset, int) or offset:
            uniform = ops.slice(
                uniform, (offset, 0, 0), (count, self.views, len(DRAWS))
            )
        elif batch_size is not count:
            uniform = uniform[:count]
        draws = dict(zip(DRAWS, ops.unstack(uniform, axis=-1), strict=True))
        a = self.augmentation
        ranges = {
            "area": a.crop_area,
            "aspect": [math.log(x) for x in a.crop_aspect],
            "sigma": a.blur_sigma,
            "hue": (-a.hue, a.hue),
        }
        for name in ("brightness", "contrast", "saturation"):
            strength = getattr(a, name)
            ranges[name] = max(0.0, 1 - strength), 1 + strength
        for name, (low, high) in ranges.items():
            draws[name] = low + (high - low) * draws[name]
        draws["aspect"] = ops.exp(draws["aspect"])
        for name in ("flip", "blur", "jitter", "grayscale", "solarize"):
            draws[name] = draws[name] < getattr(a, name)
        return draws

    def _augment(self, images, draws):
        a = self.augmentation
        rows, columns = self._matrices(images, draws)
        images = ops.transpose(images, (0, 2, 3, 1))
        # Colours mix within the crop, with which they commute.
        strips = resampling.resample_columns(images, columns)
        if a.changes_color:
            gray = color.mean_gray(images, columns, rows)
            gain, offset = color.color_map(a, draws, gray, images.shape[2])
            if len(gain.shape) == 4:
                strips = color.mix(gain, strips)
            else:
                strips = _per_view(gain) * strips
        views = resampling.resample_rows(strips, rows)
        if a.changes_color:
            views = views + _per_view(offset)
        views = ops.clip(views, 0.0, 255.0)
        if a.solarize:
            inverted = ops.logical_and(_per_view(draws["solarize"]), views >= 128.0)
            views = ops.where(inverted, 255.0 - views, views)
        return views

    def _matrices(self, images, draws):
        """Over rows, `(B, V, h, H)`, and over columns, `(B, V, w, W)`."""
        a, aspect = self.augmentation, draws["aspect"]
        flip = draws["flip"] if a.flip else None
        matrices = []
        for axis, place, relative, mirror in (
            (0, draws["top"], 1.0 / aspect, None),
            (1, draws["left"], aspect, flip),
        ):
            size, output_size = images.shape[1 + axis], a.size[axis]
            share = ops.minimum(ops.sqrt(draws["area"] * relative), 1.0)
            start, length = place * (1.0 - share) * size, share * size
            matrices.append(
                resampling.crop_matrix(start, length, size, output_size, mirror)
            )
        if a.blur:
            blurs = {
                side: resampling.blur_matrix(
                    draws["sigma"], draws["blur"], a.blur_radius, side
                )
                for side in set(a.size)
            }
            matrices = [ops.matmul(blurs[x.shape[2]], x) for x in matrices]
        return matrices

    def _clean(self, images):
        """One view of each image: all of it, resized."""
        images = ops.expand_dims(ops.cast(images, "float32"), 1)
        if images.shape[2:4] == self.augmentation.size:
            return images
        rows, columns = (
            resampling.crop_matrix(ops.zeros((1, 1)), size, size, output_size)
            for size, output_size in zip(
                images.shape[2:4], self.augmentation.size, strict=True
            )
        )
        # Not as random ones: the matrices are the same for all.
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
        if "uint8" not in str(images.dtype) and _backend.is_concrete(images):
            low, high = float(ops.min(images)), float(ops.max(images))
            if low < high:
                check_pixels(np.array([low, high]))
            else:  # Keras builds models on torch with images of ones.
                check_range(low, high)

    def compute_output_shape(self, input_shape, **kwargs):
        # One view or V, as it is called.
        return (input_shape[0], None, *self.augmentation.size, input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "augmentation": keras.saving.serialize_keras_object(self.augmentation),
            "views": self.views,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["augmentation"] = keras.saving.deserialize_keras_object(
            config["augmentation"]
        )
        return cls(**config)


class _Key(keras.random.SeedGenerator):
    """A seed for `keras.random` that is told its two numbers."""

    def __init__(self, numbers):
        self._numbers = numbers  # and no variable

    def next(self, ordered=True):
        del ordered
        return self._numbers


def _per_view(x):
    """`(B, V)` to the rank of views."""
    for _ in range(3):
        x = ops.expand_dims(x, -1)
    return x
