"""Trains for some steps on some devices and writes down all there is to compare.

    python train_on_devices.py DEVICES OUT

Every image differs, so that each device has other data. `faults.py` leaves out what
devices tell each other, one thing at a time.
"""

import os
import sys

import keras
import numpy as np

import helpers
import keras_mvssl as mv
from programs.own_losses import Drawn

# The mean view is compared in the space of features, all pairs in that of samples.
BATCH, VIEWS, DIM, SIZE = 64, 4, 48, 12


class Agreement(keras.losses.Loss):
    """A user's own loss, a scalar: agreement of views, and a spread over the batch."""

    def call(self, y_true, y_pred):
        mean = keras.ops.mean(y_pred, axis=1)
        spread = keras.ops.mean(keras.ops.var(mean, axis=0))
        return keras.ops.mean((y_pred - mean[:, None]) ** 2) - 0.1 * spread


class Spread(keras.losses.Loss):
    """A user's own loss, a value for each feature."""

    def call(self, y_true, y_pred):
        return -keras.ops.var(keras.ops.mean(y_pred, axis=1), axis=0)


LOSSES = {
    "barlow_twins": mv.losses.BarlowTwins(),
    "all pairs": mv.losses.BarlowTwins(pairing="all"),
    "vicreg": mv.losses.VICReg(),
    "reformulated": mv.losses.ReformulatedSSL(),
    "own": Agreement(),
    "own sum": Spread(reduction="sum"),
    "own drawn": Drawn(),
}


def make_model(loss, layer, lars):
    encoder = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Rescaling(1 / 128, offset=-1),
            keras.layers.Conv2D(8, 4, strides=4, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Conv2D(32, 2, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model = mv.MultiViewModel(encoder, mv.models.Projector(32, DIM), layer)
    helpers.set_numbered_weights(model)
    optimizer = mv.optimizers.LARS(1.0) if lars else keras.optimizers.SGD(1.0)
    model.compile(optimizer=optimizer, loss=loss)
    return model


AUGMENTATION = mv.views.Augmentation(size=SIZE, blur=0.5)


def plain_views(images, step, offset, batch_size):
    """Four views that `tf.data` makes at once: loss after loss needs them."""
    import tensorflow as tf

    images = tf.cast(images, "float32")
    turned = [images, images[:, ::-1], images[:, :, ::-1], 255 - images]
    return tf.stack(turned, axis=1)


# Of each loss, and of each engine for views.
CASES = [(name, "plain", False) for name in LOSSES]
CASES += [("barlow_twins", "on device", False), ("barlow_twins", "kerascv", True)]


def make_stream(engine):
    images = np.random.default_rng(0).integers(0, 256, (640, SIZE, SIZE, 3), "uint8")
    if engine == "on device":
        return mv.data.batches(images, BATCH)
    kerascv = mv.views.KerasCVViews
    views = kerascv(AUGMENTATION, VIEWS) if engine == "kerascv" else plain_views
    return mv.data.multiview(images, views, BATCH)


def train(loss, engine, lars):
    on_device = engine == "on device"
    layer = mv.views.RandomViews(AUGMENTATION, VIEWS) if on_device else None
    model = make_model(loss, layer, lars)
    before = [np.array(w) for w in model.trainable_variables]
    # One step at a rate of 1 shows the gradient, as what it leaves of the weights.
    history = model.fit(make_stream(engine), steps_per_epoch=1, verbose=0).history
    after = [np.array(w) for w in model.trainable_variables]
    found = {
        "gradient": [a - b for a, b in zip(before, after, strict=True)],
        "logs": [np.array(history[name]) for name in sorted(history)],
        "statistics": [np.array(w) for w in model.non_trainable_variables],
    }
    helpers.set_numbered_weights(model)
    if on_device:
        layer.step.assign(0)
    if model.loss_step is not None:
        model.loss_step.assign(0)
    model.optimizer.learning_rate = 1e-3
    model.fit(make_stream(engine), steps_per_epoch=5, verbose=0)
    return {**found, "weights": helpers.weights_of(model)}


def main(devices, out):
    several_machines = "TF_CONFIG" in os.environ
    if keras.backend.backend() == "jax":  # Two devices have other gradients of filters.
        from keras_mvssl._backend import jax_convolutions

        jax_convolutions.has_avx512 = lambda: devices != "2"
    mv.distribution.data_parallel(None if several_machines else int(devices))
    found = {}
    for name, engine, lars in CASES:
        for kind, arrays in train(LOSSES[name], engine, lars).items():
            for i, array in enumerate(arrays):
                found[f"{name}, {engine}|{kind}|{i}"] = array
    if mv.distribution.is_chief():
        np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
