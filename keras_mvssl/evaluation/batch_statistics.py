"""Statistics of batch normalisation that lag behind a short training, made anew.

In training, batch normalisation uses the statistics of each batch; a frozen encoder
uses moving averages of them. With momentum m, a share of m^n of these averages still is
what they were before, after n steps: 82 % with a momentum of 0.999 after 200 steps. The
features of such an encoder are distorted, and may all but collapse. Measured over some
images with the weights as they are, the statistics fit again ("precise" batch
normalisation, Wu and Johnson, 2021, https://arxiv.org/abs/2105.07576).
"""

import contextlib
from typing import Any

import keras
import numpy as np

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.pixels import check_pixels
from keras_mvssl.evaluation.features import check_takes_images
from keras_mvssl.evaluation.features import run_in_batches
from keras_mvssl.models.copies import copied

# Images that the statistics are measured over, at most.
MOST_IMAGES = 4096
# Statistics lag where a larger share of them was there before the training.
LARGEST_SHARE = 0.05
# Before this step nothing is said: next to nothing is learned yet.
FIRST_STEP = 30


def with_batch_statistics(
    encoder: keras.Model, images: Any, batch_size: int = 256
) -> keras.Model:
    """Return a copy of an encoder, with batch statistics measured over some images.

    It is for an encoder whose batch normalisation lags behind a short training: with a
    momentum of m, a share of m^n of the moving averages is what was there before,
    after n steps. The new ones are averages over batches of clean images, with the
    weights as they are. `training.run` and the callbacks that probe do the same by
    themselves, after 30 steps and where that share is above 5 %.

    Args:
        encoder: A functional or Sequential `keras.Model` from images in [0, 255] to
            features `(N, F)`.
        images: Array `(N, H, W, C)` in [0, 255], or a `tf.data.Dataset` of single
            images; labels beside them, as in `(images, labels)`, are left out. 4,096
            of an array are drawn, always the same; of a data set, the first 4,096 are
            taken.
        batch_size: int >= 2. Images per batch.

    Returns:
        A `keras.Model`. The encoder itself is not changed.

    Raises:
        ValueError: For an encoder that cannot be built again, too few images, or images
            that do not fit.

    Example:
    ```python
    settled = keras_mvssl.evaluation.with_batch_statistics(encoder, images)
    features, labels = keras_mvssl.evaluation.extract_features(settled, splits.test)
    ```
    """
    copy = copied(encoder)
    _measure(InTraining(copy), images, batch_size)
    return copy


class InTraining(keras.Model):
    """Model that runs an encoder as in training, where its batch statistics move.

    One model that is used for several calls is compiled only once.

    Args:
        encoder: A `keras.Model` from images to features.
    """

    def __init__(self, encoder):
        super().__init__(name="in_training")
        self.encoder = encoder

    def call(self, images):
        return self.encoder(images, training=True)

    @contextlib.contextmanager
    def with_statistics_of(self, images, batch_size=256):
        """Give the encoder the batch statistics of images, and at the end its own.

        Args:
            images: As in `with_batch_statistics`.
            batch_size: int. Images per batch.
        """
        variables = self.encoder.non_trainable_variables
        before = [_backend.value_of(x) for x in variables]
        try:
            _measure(self, images, batch_size)
            yield
        finally:
            _assign(variables, before)


def lag(encoder, steps):
    """Return the largest share of its batch statistics that a training has not touched.

    Args:
        encoder: A `keras.Model`.
        steps: int. Steps of the training so far.

    Returns:
        The largest `momentum ** steps` of the batch normalisation that is trained; 0
        where there is none.
    """
    return max((layer.momentum**steps for layer in _layers(encoder)), default=0.0)


def lags(model):
    """Return whether the encoder of a model in training lags, so that it matters."""
    if getattr(model, "optimizer", None) is None:
        return False
    steps = steps_of(model.optimizer)
    return steps >= FIRST_STEP and lag(model.encoder, steps) > LARGEST_SHARE


def steps_of(optimizer):
    """Return the number of steps that an optimizer has seen."""
    # The private counter, of steps: the public `iterations` counts changes of weights.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return int(_backend.value_of(inner._iterations))


def _layers(encoder):
    return [
        layer
        for layer in encoder._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.trainable
        and not layer.renorm  # It uses the averages in training, too.
        and layer.momentum < 1
    ]


def _measure(model, images, batch_size):
    """Set the batch statistics of an encoder, and nothing else, to those of images."""
    encoder, images = model.encoder, _some(images)
    check_takes_images(encoder, images.shape[1:], "images")
    check_pixels(images)
    devices = distribution.replicas()
    size = min(batch_size, len(images)) // devices * devices
    if size < 2:
        raise ValueError(
            "Batch statistics need at least two images, and one for each device. "
            f"Received: {len(images)} images, batch_size={batch_size}"
        )
    batches, layers, found = len(images) // size, _layers(encoder), []
    variables = encoder.non_trainable_variables
    before = [_backend.value_of(x) for x in variables]
    random_state = _backend.random_state()
    try:
        # From 0, n batches leave a moving average of them times 1 - momentum^n.
        for layer in layers:
            for average in (layer.moving_mean, layer.moving_variance):
                average.assign(np.zeros(average.shape))
        run_in_batches(model, images[: batches * size], size)
        for layer in layers:
            share = 1 - layer.momentum**batches
            averages = layer.moving_mean, layer.moving_variance
            found.append([_backend.value_of(x) / share for x in averages])
    finally:
        _assign(variables, before)
        _backend.set_random_state(random_state)
    for layer, (mean, variance) in zip(layers, found):
        if variance.any():  # Otherwise it has not run as in training.
            _assign([layer.moving_mean, layer.moving_variance], [mean, variance])


def _assign(variables, values):
    for variable, value in zip(variables, values):
        variable.assign(value)


def _some(images):
    """Return at most `MOST_IMAGES` images, in an order by chance, as an array.

    Args:
        images: Images, or images with labels: arrays or a data set.
    """
    random = np.random.default_rng(0)
    if isinstance(images, (tuple, list)):
        images, _ = images
    if not hasattr(images, "element_spec"):
        chosen = random.permutation(len(images))[:MOST_IMAGES]
        return np.asarray(images)[chosen]
    items = images.take(MOST_IMAGES).as_numpy_iterator()
    found = np.stack([x[0] if isinstance(x, tuple) else x for x in items])
    return found[random.permutation(len(found))]
