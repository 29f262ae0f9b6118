"""Views from stacked KerasCV layers, inside tf.data.

KerasCV's layers draw from a `tf.random.Generator` each and, for their strengths, from
`tf.random.uniform`: two hidden states that make views depend on the order in which
threads happen to run. Here every draw comes from one `Draws` instead, a pure function
of (seed, step, place of the image in the batch, view), so views are the same with any
number of workers, from any step on, and for any part of the batch.
"""

import math

import keras_cv
import tensorflow as tf

_FLOAT32 = "float32"  # whatever the global dtype policy: pixels need 8 bits and signs


class KerasCVViews:
    """Turns a batch of images into V views each, with stacked KerasCV layers.

    Args:
        augmentation: An `Augmentation`.
        views: int >= 2. Views of each image.
        seed: int. The same seed gives the same views.

    Call arguments:
        images: `(B, H, W, C)`, uint8 or float, in [0, 255].
        step: Optional int scalar. With it, the views are a function of
            (seed, step, place, view) alone. Without it, each call draws anew from a
            generator started from `seed`: convenient, and reproducible only in a
            `map` without `num_parallel_calls`.
        offset: int scalar. Place of `images[0]` in the whole batch, where `images` is
            a part of one.
        batch_size: int scalar. Size of that whole batch. Defaults to `offset + B`.

    Returns:
        uint8 views `(B, V, h, w, C)` in [0, 255].

    Raises:
        ValueError: For fewer than two views, images that are not of rank 4, or colour
            steps on images that do not have three channels.
        tf.errors.InvalidArgumentError: For float images outside [0, 255], or that all
            lie within [0, 1], when the pipeline runs.

    Example:

    ```python
    views = KerasCVViews(Augmentation.preset("cifar10"), views=4)
    pairs = tf.data.Dataset.from_tensor_slices(images).batch(256, drop_remainder=True)
    pairs = pairs.enumerate().map(lambda step, batch: views(batch, step))
    ```

    `keras_mvssl.data.multiview` does this with shuffling, in parallel.
    """

    def __init__(self, augmentation, views, seed=0):
        if not isinstance(views, int) or views < 2:
            raise ValueError(
                "`views` must be an int of at least 2: the loss compares views of one "
                f"image with each other. Received: views={views}"
            )
        self.augmentation = augmentation
        self.views = views
        self.seed = seed
        self._draws = Draws()
        self._layers = stack(augmentation, views, self._draws)
        self._keys = tf.random.Generator.from_seed(seed)
        # A function of its own, so that KerasCV stays in TensorFlow when called
        # eagerly under another backend.
        self._augment = tf.function(self._augment_batch, autograph=False)

    def __call__(self, images, step=None, offset=0, batch_size=None):
        images = tf.convert_to_tensor(images)
        self._check(images)
        if step is None:
            key = self._keys.make_seeds(1)[:, 0]
        else:
            key = tf.stack([tf.cast(self.seed, tf.int64), tf.cast(step, tf.int64)])
        offset = tf.convert_to_tensor(offset, tf.int32)
        if batch_size is None:
            batch_size = tf.shape(images)[0] + offset
        views = self._augment(images, key, offset, batch_size)
        height, width = self.augmentation.size
        return tf.ensure_shape(
            views, (images.shape[0], self.views, height, width, images.shape[-1])
        )

    def _augment_batch(self, images, key, offset, batch_size):
        count = tf.shape(images)[0]
        self._draws.start(
            key, offset * self.views, count * self.views, batch_size * self.views
        )
        flat = images
        if not images.dtype.is_integer:
            flat = with_value_check(images)
        for layer in self._layers:
            flat = layer(flat, training=True)
        height, width = self.augmentation.size
        flat = tf.cast(tf.round(tf.clip_by_value(flat, 0.0, 255.0)), tf.uint8)
        return tf.reshape(flat, (count, self.views, height, width, images.shape[-1]))

    def _check(self, images):
        if images.shape.rank != 4:
            raise ValueError(
                "`images` must have shape (B, H, W, C): batch before making views. "
                f"Received: images.shape={tuple(images.shape)}"
            )
        if self.augmentation.needs_rgb and images.shape[-1] != 3:
            raise ValueError(
                "Saturation, hue and grayscale need RGB images. For other channels, "
                "use an Augmentation with saturation=0, hue=0, grayscale=0. "
                f"Received: images.shape={tuple(images.shape)}"
            )


class Draws:
    """Takes the place of the layers' `tf.random.Generator`: same method, no state.

    The n-th call since `start` draws for all rows of the whole batch from
    (key, n) and returns the rows that are being worked on.
    """

    def start(self, key, first, rows, total):
        self._key, self._first, self._rows, self._total = key, first, rows, total
        self._calls = 0

    def uniform(self, shape, minval=0.0, maxval=1.0, dtype=tf.float32):
        seed = tf.random.experimental.stateless_fold_in(self._key, self._calls)
        self._calls += 1
        draws = tf.random.stateless_uniform(
            (self._total, *shape[1:]), seed, minval, maxval, dtype
        )
        return draws[self._first : self._first + self._rows]


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

    Stock, it pads with black, which darkens the rim of the image.
    """

    def _batch_augment(self, inputs):
        images = inputs["images"]
        height, width = images.shape[1:3]
        ry, rx = self.y // 2, self.x // 2
        padded = tf.pad(images, [(0, 0), (ry, ry), (rx, rx), (0, 0)], mode="REFLECT")
        sigmas = self.factor(shape=(tf.shape(images)[0],))
        blurred = tf.vectorized_map(self._blur, (padded, sigmas))
        return {"images": blurred[:, ry : ry + height, rx : rx + width]}

    def _blur(self, image_and_sigma):
        image, sigma = image_and_sigma
        vertical = tf.reshape(self.get_kernel(sigma, self.y), (self.y, 1, 1, 1))
        horizontal = tf.reshape(self.get_kernel(sigma, self.x), (1, self.x, 1, 1))
        return self.augment_image(image, (vertical, horizontal))


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
        base = self.degenerate(images)
        blended = base + transformations * (images - base)
        return tf.clip_by_value(blended, 0.0, 255.0)


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
        radius = int(3 * a.blur_sigma[1] + 0.5)
        kernel = [2 * min(radius, side - 1) + 1 for side in reversed(a.size)]
        sigma = Uniform(draws, *a.blur_sigma)
        layers.append(apply(a.blur, GaussianBlur(kernel, sigma, dtype=_FLOAT32)))
    jitter = [
        Blend(
            Uniform(draws, max(0.0, 1 - strength), 1 + strength), base, dtype=_FLOAT32
        )
        for strength, base in (
            (a.brightness, tf.zeros_like),
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


def gray(images):
    """Luma of RGB, `(N, H, W, 1)`; the mean of the channels of anything else."""
    if images.shape[-1] == 3:
        return tf.image.rgb_to_grayscale(images)
    return tf.reduce_mean(images, axis=-1, keepdims=True)


def mean_gray(images):
    return tf.reduce_mean(gray(images), axis=(1, 2), keepdims=True)


def with_value_check(images):
    """The images, once it is known that they lie in [0, 255] and not in [0, 1]."""
    low, high = tf.reduce_min(images), tf.reduce_max(images)
    checks = [
        tf.debugging.Assert(
            tf.logical_and(low >= 0.0, high <= 255.0),
            ["`images` must be within [0, 255]. Received: min, max =", low, high],
        ),
        tf.debugging.Assert(
            tf.logical_or(high > 1.0, high <= 0.0),
            [
                "Float `images` that all lie within [0, 1] are taken for a mistake: "
                "multiply them by 255. Received: min, max =",
                low,
                high,
            ],
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.cast(images, tf.float32)
