"""Runs own parts of each kind on some devices: an encoder, a loss, views, a callback.

python own_run.py DEVICES WORKDIR [STEP]

With STEP, the run is stopped after it by a signal, and ends with code 75.
"""

import os
import signal
import sys

import keras
import numpy as np
from keras import ops

import helpers
import keras_mvssl as mv

SIZE, VIEWS, BATCH, EPOCHS = 12, 3, 16, 2


@keras.saving.register_keras_serializable("own_run")
class Spread(keras.losses.Loss):
    """Views agree with their mean, and features vary."""

    def __init__(self, weight=1.0, name="spread"):
        super().__init__(name=name)
        self.weight = weight

    def call(self, y_true, y_pred):
        mean = ops.mean(y_pred, axis=1, keepdims=True)
        away = ops.mean(ops.square(y_pred - mean))
        return ops.reshape(away - self.weight * ops.mean(ops.std(y_pred, 0)), (1,))

    def get_config(self):
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable("own_run")
def invert(images):
    return 255.0 - images


class Count(keras.callbacks.Callback):
    """Counts steps in the logs, and stops the process after one of them."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.steps, self.stop_after = 0, stop_after

    def get_state(self):
        return self.steps

    def set_state(self, state):
        self.steps = state

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == self.stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_epoch_end(self, epoch, logs=None):
        logs["steps_counted"] = self.steps


def data():
    labels = np.arange(64, dtype="int32") % 2
    images = np.random.default_rng(0).integers(0, 100, (64, SIZE, SIZE, 3))
    images = (images + 150 * labels[:, None, None, None]).astype("uint8")
    parts = (images[:40], labels[:40]), (images[40:], labels[40:])
    return mv.data.Splits("mine", images, *parts, (SIZE, SIZE, 3), ("dark", "bright"))


def make_views(shape):
    augmentation = mv.views.Augmentation(size=shape[:2], crop_area=(0.5, 1.0))
    return mv.views.RandomViews(augmentation, VIEWS, extra=[invert])


def recipe(**settings):
    common = dict(epochs=EPOCHS, batch_size=BATCH, projector_dim=8, seed=3)
    return mv.training.Recipe(**common | settings)


def run(workdir, callbacks=(), encoder=helpers.small_encoder, **settings):
    return mv.training.run(
        recipe(**settings),
        workdir,
        encoder=encoder,
        loss=Spread(0.5),
        views=make_views,
        callbacks=callbacks,
        data=data(),
    )


if __name__ == "__main__":
    devices, workdir, *stop = sys.argv[1:]
    # After 32 steps, the batch statistics of the encoder lag.
    run(workdir, [Count(*map(int, stop))], devices=int(devices), epochs=8)
