"""Trains to some steps on some devices, from where the last stop of a run was.

python resume_on_devices.py DEVICES FOLDER RUN:STEP...
"""

import contextlib
import pathlib
import sys

import keras
import numpy as np
from train_on_devices import AUGMENTATION
from train_on_devices import BATCH
from train_on_devices import SIZE
from train_on_devices import VIEWS
from train_on_devices import make_model

import keras_mvssl as mv

STEPS = 10


class StopAt(keras.callbacks.Callback):
    def __init__(self, checkpoint, step):
        super().__init__()
        self.checkpoint, self.step = checkpoint, step

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.step:
            self.checkpoint.stop = "the test"


def train(folder, engine, step):
    """Train the run of a folder to a step, and write its weights down."""
    on_device = engine == "on device"
    layer = mv.views.RandomViews(AUGMENTATION, VIEWS) if on_device else None
    model = make_model(mv.losses.BarlowTwins(), layer, lars=False)
    # Larger steps turn roundings at the kink of a ReLU into other weights.
    model.compile(keras.optimizers.SGD(0.005, momentum=0.9), mv.losses.BarlowTwins())
    model.optimizer.build(model.trainable_variables)
    images = np.random.default_rng(0).integers(0, 256, (640, SIZE, SIZE, 3), "uint8")

    def make_stream(start):
        if on_device:
            return mv.data.batches(images, BATCH, start_step=start)
        views = mv.views.KerasCVViews(AUGMENTATION, VIEWS)
        return mv.data.multiview(images, views, BATCH, start_step=start)

    metrics = mv.callbacks.MetricsCSV(folder / "metrics.csv")
    checkpoint = mv.callbacks.Checkpoint(
        folder / "checkpoint", state={"metrics": metrics}
    )
    callbacks = [StopAt(checkpoint, step), metrics]
    with contextlib.suppress(mv.callbacks.Interrupted):
        mv.training.fit(model, make_stream, 1, STEPS, checkpoint, callbacks, verbose=0)
    assert checkpoint.step == step
    if mv.distribution.is_chief():
        weights = [keras.ops.convert_to_numpy(w) for w in model.weights]
        np.savez(folder / f"{step}.npz", *weights)


def main(devices, folder, *stops):
    mv.distribution.data_parallel(int(devices))
    for engine in ("on device", "kerascv"):
        for stop in stops:
            run, step = stop.split(":")
            train(pathlib.Path(folder) / engine / run, engine, int(step))


if __name__ == "__main__":
    main(*sys.argv[1:])
