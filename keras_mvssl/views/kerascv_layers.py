"""KerasCV layers for `KerasCVViews`, some of them adapted."""

import math

import keras_cv
import numpy as np
import tensorflow as tf

# Every layer computes in float32, whatever the global dtype policy: pixels need 8 bits
# and a sign. Without a seed a layer asks for TensorFlow's global generator, which does
# not exist where operations are deterministic. KerasCV takes a seed of 0 for none.
_SETTINGS = dict(dtype="float32", seed=1)


def build_layers(augmentation, views, draws):
    """Build the list of layers of an `Augmentation`, all drawing from `draws`."""

    def with_draws(layer):
        layer._random_generator = draws
        return layer

    def apply_randomly(rate, *layers):
        layers = [with_draws(layer) for layer in layers]
        return with_draws(RandomApply(layers, rate, **_SETTINGS))

    a = augmentation
    layers = [
        with_draws(
            CropAndResize(
                views,
                target_size=a.size,
                crop_area_factor=Uniform(draws, *a.crop_area),
                aspect_ratio_factor=Uniform(draws, *a.crop_aspect, log=True),
                **_SETTINGS,
            )
        )
    ]
    if a.flip:
        flip = keras_cv.layers.RandomFlip(rate=a.flip, **_SETTINGS)
        layers.append(with_draws(flip))
    if a.blur:
        # The kernel reaches three standard deviations, but no further than the image.
        kernel = [2 * min(a.blur_radius, side - 1) + 1 for side in reversed(a.size)]
        sigma = Uniform(draws, *a.blur_sigma)
        blur = GaussianBlur(kernel, sigma, **_SETTINGS)
        layers.append(apply_randomly(a.blur, blur))
    jitter = [
        Blend(Uniform(draws, max(0.0, 1 - strength), 1 + strength), base, **_SETTINGS)
        for strength, base in (
            (a.brightness, black),
            (a.contrast, mean_gray),
            (a.saturation, gray),
        )
        if strength
    ]
    if a.hue:
        # A factor of 1 is half a turn to either side in KerasCV.
        hue = Uniform(draws, 0.0, 2 * a.hue)
        jitter.append(keras_cv.layers.RandomHue(hue, (0, 255), **_SETTINGS))
    if a.jitter and jitter:
        layers.append(apply_randomly(a.jitter, *jitter))
    if a.grayscale:
        to_gray = keras_cv.layers.Grayscale(output_channels=3, **_SETTINGS)
        layers.append(apply_randomly(a.grayscale, to_gray))
    if a.solarize:
        solarize = keras_cv.layers.Solarization(
            (0, 255), threshold_factor=(128, 128), **_SETTINGS
        )
        layers.append(apply_randomly(a.solarize, solarize))
    return layers


class Uniform(keras_cv.core.FactorSampler):
    """Sampler of uniform or log-uniform strengths from the shared generator."""

    def __init__(self, draws, lower, upper, log=False):
        self._draws, self._lower, self._upper, self._log = draws, lower, upper, log

    def __call__(self, shape, dtype="float32"):
        if not self._log:
            return self._draws.uniform(shape, self._lower, self._upper, dtype)
        low, high = math.log(self._lower), math.log(self._upper)
        return tf.exp(self._draws.uniform(shape, low, high, dtype))


class CropAndResize(keras_cv.layers.RandomCropAndResize):
    """Random crop and resize that cuts all V boxes of all images in one call.

    The original layer maps over single images. With one call the whole chain of layers
    is several times faster, and the images need not be repeated V times first.
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
    """Gaussian blur with mirrored borders, and all sigmas of a batch drawn at once.

    The original layer pads with black, which darkens the rim of the image. Here the
    kernel of an image is one matrix over its rows and one over its columns: matrix
    products are faster than a convolution for each image.
    """

    def _batch_augment(self, inputs):
        images = inputs["images"]
        sigmas = self.factor(shape=(tf.shape(images)[0],))
        blurred = _along_rows(images, self._matrices(sigmas, self.y, images.shape[1]))
        turned = tf.transpose(blurred, (0, 2, 1, 3))
        turned = _along_rows(turned, self._matrices(sigmas, self.x, images.shape[2]))
        return {"images": tf.transpose(turned, (0, 2, 1, 3))}

    def _matrices(self, sigmas, kernel_size, size):
        """Return the kernel of each sigma as a matrix, `(N, size, size)`."""
        kernels = tf.vectorized_map(lambda x: self.get_kernel(x, kernel_size), sigmas)
        taps = _mirrored_taps(kernel_size, size).reshape(kernel_size, -1)
        return tf.reshape(tf.matmul(kernels, taps), (-1, size, size))


def _along_rows(images, matrices):
    shape = tf.shape(images)
    rows = tf.reshape(images, (shape[0], images.shape[1], -1))
    return tf.reshape(tf.matmul(matrices, rows), shape)


def _mirrored_taps(kernel_size, size):
    """Return `(kernel_size, size, size)` with 1 where tap i of row j reads pixel k."""
    radius = kernel_size // 2
    source = np.pad(np.arange(size), radius, mode="reflect")
    source = np.stack([source[tap : tap + size] for tap in range(kernel_size)])
    return np.eye(size, dtype="float32")[source]


class Blend(keras_cv.layers.VectorizedBaseImageAugmentationLayer):
    """Blend with a degenerate version of the image, as in torchvision and PIL.

    The layers of KerasCV compute something else: brightness adds instead of scaling,
    contrast works channel by channel, and saturation scales the S of HSV.
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
    """Application of layers to each image with a probability, on whole batches.

    The layer of this name in KerasCV maps a branch over single images instead.
    """

    def __init__(self, layers, rate, **kwargs):
        super().__init__(**kwargs)
        self.layers = layers
        self.rate = rate
        # Otherwise Keras calls the layers once more to build them, which uses up draws.
        self.built = True

    def get_random_transformation_batch(self, batch_size, **kwargs):
        return self._random_generator.uniform((batch_size, 1, 1, 1)) < self.rate

    def augment_images(self, images, transformations, **kwargs):
        augmented = images
        for layer in self.layers:
            augmented = layer(augmented, training=True)
        return tf.where(transformations, augmented, images)


def black(images):
    """Return one black pixel for each image, `(N, 1, 1, 1)`."""
    return tf.zeros_like(images[:, :1, :1, :1])


def gray(images):
    """Return images in gray, `(N, H, W, 1)`: luma for RGB, else the channel mean."""
    if images.shape[-1] == 3:
        return tf.image.rgb_to_grayscale(images)
    return tf.reduce_mean(images, axis=-1, keepdims=True)


def mean_gray(images):
    """Return the mean gray of each image, `(N, 1, 1, 1)`."""
    return gray(tf.reduce_mean(images, axis=(1, 2), keepdims=True))
