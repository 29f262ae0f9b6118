"""The KerasCV layers behind `KerasCVViews`, and what stock layers lack."""

import math

import keras_cv
import numpy as np
import tensorflow as tf

_FLOAT32 = "float32"  # whatever the global dtype policy: pixels need 8 bits and signs


def stack(augmentation, views, draws):
    """The KerasCV layers of an `Augmentation`, all drawing from `draws`."""

    def ready(layer):
        layer._random_generator = draws
        return layer

    def apply(rate, *layers):
        return ready(RandomApply([ready(x) for x in layers], rate, dtype=_FLOAT32))

    a = augmentation
    layers = [
        ready(
            CropAndResize(
                views,
                target_size=a.size,
                crop_area_factor=Uniform(draws, *a.crop_area),
                aspect_ratio_factor=Uniform(draws, *a.crop_aspect, log=True),
                dtype=_FLOAT32,
            )
        )
    ]
    if a.flip:
        layers.append(ready(keras_cv.layers.RandomFlip(rate=a.flip, dtype=_FLOAT32)))
    if a.blur:
        # Three standard deviations to each side, and no more than the image holds.
        kernel = [2 * min(a.blur_radius, side - 1) + 1 for side in reversed(a.size)]
        sigma = Uniform(draws, *a.blur_sigma)
        layers.append(apply(a.blur, GaussianBlur(kernel, sigma, dtype=_FLOAT32)))
    jitter = [
        Blend(
            Uniform(draws, max(0.0, 1 - strength), 1 + strength), base, dtype=_FLOAT32
        )
        for strength, base in (
            (a.brightness, black),
            (a.contrast, mean_gray),
            (a.saturation, gray),
        )
        if strength
    ]
    if a.hue:
        # KerasCV's factor 1 is half a turn to either side.
        hue = Uniform(draws, 0.0, 2 * a.hue)
        jitter.append(keras_cv.layers.RandomHue(hue, (0, 255), dtype=_FLOAT32))
    if a.jitter and jitter:
        layers.append(apply(a.jitter, *jitter))
    if a.grayscale:
        to_gray = keras_cv.layers.Grayscale(output_channels=3, dtype=_FLOAT32)
        layers.append(apply(a.grayscale, to_gray))
    if a.solarize:
        solarize = keras_cv.layers.Solarization(
            (0, 255), threshold_factor=(128, 128), dtype=_FLOAT32
        )
        layers.append(apply(a.solarize, solarize))
    return layers


class Uniform(keras_cv.core.FactorSampler):
    """Draws strengths uniformly (or log-uniformly) from the shared `Draws`."""

    def __init__(self, draws, lower, upper, log=False):
        self._draws, self._lower, self._upper, self._log = draws, lower, upper, log

    def __call__(self, shape, dtype="float32"):
        if not self._log:
            return self._draws.uniform(shape, self._lower, self._upper, dtype)
        low, high = math.log(self._lower), math.log(self._upper)
        return tf.exp(self._draws.uniform(shape, low, high, dtype))


class CropAndResize(keras_cv.layers.RandomCropAndResize):
    """The stock layer with all boxes cut in one call, and V of them per image.

    Stock, it maps over single images; in one call the chain is several times faster,
    and the images need not be repeated V times first.
    """

    def __init__(self, views, **kwargs):
        super().__init__(**kwargs)
        self.views = views

    def _batch_augment(self, inputs):
        images = inputs["images"]
        rows = tf.shape(images)[0] * self.views
        area = self.crop_area_factor(shape=(rows,))
        aspect = self.aspect_ratio_factor(shape=(rows,))
        height = tf.minimum(tf.sqrt(area / aspect), 1.0)
        width = tf.minimum(tf.sqrt(area * aspect), 1.0)
        top = self._random_generator.uniform((rows,)) * (1.0 - height)
        left = self._random_generator.uniform((rows,)) * (1.0 - width)
        boxes = tf.stack([top, left, top + height, left + width], axis=-1)
        crops = tf.image.crop_and_resize(
            images, boxes, tf.range(rows) // self.views, self.target_size
        )
        return {"images": crops}


class GaussianBlur(keras_cv.layers.RandomGaussianBlur):
    """The stock layer with sigmas drawn for the whole batch, and mirrored borders.

    Stock, it pads with black, which darkens the rim of the image. A kernel for each
    image is a matrix over its rows and one over its columns: products of those are
    faster than a convolution for each image.
    """

    def _batch_augment(self, inputs):
        images = inputs["images"]
        sigmas = self.factor(shape=(tf.shape(images)[0],))
        blurred = _along_rows(images, self._matrices(sigmas, self.y, images.shape[1]))
        turned = tf.transpose(blurred, (0, 2, 1, 3))
        turned = _along_rows(turned, self._matrices(sigmas, self.x, images.shape[2]))
        return {"images": tf.transpose(turned, (0, 2, 1, 3))}

    def _matrices(self, sigmas, kernel_size, size):
        """The kernel of each sigma as a matrix over `size` pixels, `(N, size, size)`"""
        kernels = tf.vectorized_map(lambda x: self.get_kernel(x, kernel_size), sigmas)
        taps = _mirrored_taps(kernel_size, size).reshape(kernel_size, -1)
        return tf.reshape(tf.matmul(kernels, taps), (-1, size, size))


def _along_rows(images, matrices):
    shape = tf.shape(images)
    rows = tf.reshape(images, (shape[0], images.shape[1], -1))
    return tf.reshape(tf.matmul(matrices, rows), shape)


def _mirrored_taps(kernel_size, size):
    """Which pixel each tap reads, `(kernel_size, size, size)`: 1 at (tap, to, from)."""
    radius = kernel_size // 2
    source = np.pad(np.arange(size), radius, mode="reflect")
    source = np.stack([source[tap : tap + size] for tap in range(kernel_size)])
    return np.eye(size, dtype="float32")[source]


class Blend(keras_cv.layers.VectorizedBaseImageAugmentationLayer):
    """Blends with a degenerate version of the image, as torchvision and PIL do.

    KerasCV's own brightness adds instead of scaling, its contrast works channel by
    channel, and its saturation scales S of HSV.
    """

    def __init__(self, factor, degenerate, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.degenerate = degenerate

    def get_random_transformation_batch(self, batch_size, **kwargs):
        return self.factor(shape=(batch_size, 1, 1, 1))

    def augment_images(self, images, transformations, **kwargs):
        base = (1.0 - transformations) * self.degenerate(images)
        return tf.clip_by_value(transformations * images + base, 0.0, 255.0)


class RandomApply(keras_cv.layers.VectorizedBaseImageAugmentationLayer):
    """Applies layers to each image with a probability, computing on whole batches.

    KerasCV's layer of this name maps a branch over single images instead.
    """

    def __init__(self, layers, rate, **kwargs):
        super().__init__(**kwargs)
        self.layers = layers
        self.rate = rate
        # Else Keras calls the layers once more to build them, which draws.
        self.built = True

    def get_random_transformation_batch(self, batch_size, **kwargs):
        return self._random_generator.uniform((batch_size, 1, 1, 1)) < self.rate

    def augment_images(self, images, transformations, **kwargs):
        augmented = images
        for layer in self.layers:
            augmented = layer(augmented, training=True)
        return tf.where(transformations, augmented, images)


def black(images):
    return tf.zeros_like(images[:, :1, :1, :1])


def gray(images):
    """Luma of RGB, `(N, H, W, 1)`; the mean of the channels of anything else."""
    if images.shape[-1] == 3:
        return tf.image.rgb_to_grayscale(images)
    return tf.reduce_mean(images, axis=-1, keepdims=True)


def mean_gray(images):
    return gray(tf.reduce_mean(images, axis=(1, 2), keepdims=True))
