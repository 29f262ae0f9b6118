"""Views from stacked KerasCV layers, inside tf.data.

Each KerasCV layer draws from its own `tf.random.Generator` and, for strengths, from
`tf.random.uniform`: two hidden states that make views depend on the order in which
threads run. In this module every random number comes from one `StatelessGenerator`
instead, a pure function of (seed, step, place of the image in the batch, view). Views
are therefore the same with any number of workers, from any step on, and for any part of
the batch.
"""

import tensorflow as tf

from keras_mvssl._internal.pixels import check_batch
from keras_mvssl.views import kerascv_layers
from keras_mvssl.views.augmentation import Augmentation
from keras_mvssl.views.augmentation import check_channels
from keras_mvssl.views.augmentation import check_views
from keras_mvssl.views.draws import check_place
from keras_mvssl.views.draws import whole_number


class KerasCVViews:
    """Callable that makes V views of each image of a batch, with KerasCV layers.

    Args:
        augmentation: An `Augmentation`.
        views: int >= 2. Views of each image.
        seed: int from 0 to 2**63 - 1. The same seed gives the same views.

    Call arguments:
        images: `(B, H, W, C)`, uint8 or float, in [0, 255].
        step: Optional int scalar from 0 to 2**63 - 1. With a step, the views are a
            function of (seed, step, place, view) alone. Without a step, each call draws
            new numbers from a generator started from `seed`: convenient, but
            reproducible only in a `map` without `num_parallel_calls`.
        offset: int scalar. Place of `images[0]` in the whole batch, if `images` is
            only a part of the batch.
        batch_size: int scalar. Size of the whole batch. Defaults to `offset + B`.

    Returns:
        uint8 views `(B, V, h, w, C)` in [0, 255].

    Raises:
        ValueError: For fewer than two views, images that are not of rank 4, colour
            steps on images that do not have three channels, or a step or place that is
            no int or out of its range (tensors are not read).
        tf.errors.InvalidArgumentError: For images outside [0, 255], when a pipeline
            runs. An eager call raises a ValueError instead, also for float images that
            were divided by 255.

    Example:
    ```python
    import tensorflow as tf

    augmentation = keras_mvssl.views.Augmentation.preset("cifar10")
    views = keras_mvssl.views.KerasCVViews(augmentation, views=4)
    data = tf.data.Dataset.from_tensor_slices(images).batch(256, drop_remainder=True)
    data = data.enumerate().map(lambda step, batch: views(batch, step))
    ```

    `keras_mvssl.data.multiview` builds such a pipeline with shuffling, in parallel.
    """

    def __init__(self, augmentation: Augmentation, views: int, seed: int = 0):
        check_views(augmentation, views, seed)
        self.augmentation = augmentation
        self.views = int(views)
        self.seed = int(seed)
        self._draws = StatelessGenerator()
        self._layers = kerascv_layers.build_layers(
            augmentation, self.views, self._draws
        )
        self._keys = tf.random.Generator.from_seed(self.seed)
        # A `tf.function` keeps KerasCV in TensorFlow when the call is eager and the
        # Keras backend is another one.
        self._augment = tf.function(self._augment_batch, autograph=False)

    def __call__(self, images, step=None, offset=0, batch_size=None):
        images = tf.convert_to_tensor(images)
        self._check(images)
        step, offset = whole_number(step, "step"), whole_number(offset, "offset")
        batch_size = whole_number(batch_size, "batch_size")
        check_place(images, offset, batch_size, self.views)
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
        if images.dtype != tf.uint8:
            flat = with_range_check(images)
        for layer in self._layers:
            flat = layer(flat, training=True)
        height, width = self.augmentation.size
        flat = tf.cast(tf.round(tf.clip_by_value(flat, 0.0, 255.0)), tf.uint8)
        return tf.reshape(flat, (count, self.views, height, width, images.shape[-1]))

    def _check(self, images):
        if tf.executing_eagerly():
            check_batch(images.numpy())
        if images.shape.rank != 4:
            raise ValueError(
                "`images` must have shape (B, H, W, C): batch before making views. "
                f"Received: images.shape={tuple(images.shape)}"
            )
        check_channels(self.augmentation, images.shape)


class StatelessGenerator:
    """Stateless replacement for the `tf.random.Generator` of KerasCV layers.

    The n-th call of `uniform` since `start` draws numbers from (key, n) for all rows
    of the whole batch, and returns the numbers of the rows being augmented.
    """

    def start(self, key, first, rows, total):
        """Begin a batch of `total` rows, of which `rows` from `first` on are needed."""
        self._key, self._first, self._rows, self._total = key, first, rows, total
        self._calls = 0

    def uniform(self, shape, minval=0.0, maxval=1.0, dtype=tf.float32):
        seed = tf.random.experimental.stateless_fold_in(self._key, self._calls)
        self._calls += 1
        draws = tf.random.stateless_uniform(
            (self._total, *shape[1:]), seed, minval, maxval, dtype
        )
        return draws[self._first : self._first + self._rows]


def with_range_check(images):
    """Return the images as float32, after a check that they are in [0, 255]."""
    images = tf.cast(images, tf.float32)
    low, high = tf.reduce_min(images), tf.reduce_max(images)
    check = tf.debugging.Assert(
        tf.reduce_all(tf.logical_and(images >= 0.0, images <= 255.0)),  # NaN is not
        ["`images` must be within [0, 255]. Received: min, max =", low, high],
    )
    with tf.control_dependencies([check]):
        return tf.identity(images)
