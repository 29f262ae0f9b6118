"""Trains for some steps on some devices and writes down all there is to compare.

python train_on_devices.py DEVICES OUT [WITHOUT]: `WITHOUT` leaves out "gather",
"average" or "places", what devices tell each other, or "data", so that the second
device gets that of the first: a test can see itself fail.
"""

import os
import sys
from unittest import mock

import keras
import numpy as np

import helpers
import keras_mvssl as mv

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


def make_stream(on_device, same_data):
    images = np.random.default_rng(0).integers(0, 256, (640, SIZE, SIZE, 3), "uint8")
    if on_device:
        return mv.data.batches(images, BATCH)
    views = mv.views.KerasCVViews(AUGMENTATION, VIEWS)
    if not same_data:
        return mv.data.multiview(images, views, BATCH)
    import tensorflow as tf

    with mock.patch.object(mv.distribution, "processes", lambda: (0, 1)):
        whole = mv.data.multiview(images, views, BATCH)
    copies = 1 if mv.distribution.processes()[1] > 1 else 2
    stream = whole.map(lambda x: tf.concat([x[: BATCH // 2]] * copies, axis=0))
    stream.steps_per_epoch = whole.steps_per_epoch  # as if it were its own part
    return stream


AUGMENTATION = mv.views.Augmentation(size=SIZE, blur=0.5)


def train(loss, on_device, lars, same_data):
    layer = mv.views.RandomViews(AUGMENTATION, VIEWS) if on_device else None
    model = make_model(loss, layer, lars)
    before = [np.array(w) for w in model.trainable_variables]
    # One step at a rate of 1 shows the gradient, as what it leaves of the weights.
    stream = make_stream(on_device, same_data)
    history = model.fit(stream, steps_per_epoch=1, verbose=0).history
    after = [np.array(w) for w in model.trainable_variables]
    found = {
        "gradient": [a - b for a, b in zip(before, after, strict=True)],
        "logs": [np.array(history[name]) for name in sorted(history)],
        "statistics": [np.array(w) for w in model.non_trainable_variables],
    }
    helpers.set_numbered_weights(model)
    if on_device:
        layer.step.assign(0)
    model.optimizer.learning_rate = 1e-3
    model.fit(make_stream(on_device, same_data), steps_per_epoch=5, verbose=0)
    return {**found, "weights": helpers.weights_of(model)}


def main(devices, out, without=""):
    several_machines = "TF_CONFIG" in os.environ
    mv.distribution.data_parallel(None if several_machines else int(devices))
    patches = {
        "gather": ("gather", lambda x: x),
        "average": ("synchronize", lambda model: None),
        "places": ("place_in_batch", lambda rows: (0, rows)),
    }
    if without in patches:
        setattr(mv.distribution, *patches[without])
    found = {}
    cases = [(name, False, False) for name in LOSSES]
    cases += [("barlow_twins", True, False), ("barlow_twins", False, True)]
    if without:
        cases = [("barlow_twins", without == "places", False)]
    for name, on_device, lars in cases:
        result = train(LOSSES[name], on_device, lars, without == "data")
        case = f"{name}{' on device' * on_device}{' with LARS' * lars}"
        for kind, arrays in result.items():
            for i, array in enumerate(arrays):
                found[f"{case}|{kind}|{i}"] = array
    if mv.distribution.is_chief():
        np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
