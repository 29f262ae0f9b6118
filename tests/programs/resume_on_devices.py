"""Trains to a step on some devices, from where an earlier process was stopped.

python resume_on_devices.py DEVICES FOLDER STEP ON_DEVICE
"""

import contextlib
import pathlib
import sys

import keras
import numpy as np
import train_on_devices as train

import keras_mvssl as mv

STEPS = 10


class StopAt(keras.callbacks.Callback):
    def __init__(self, checkpoint, step):
        super().__init__()
        self.checkpoint, self.step = checkpoint, step

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.step:
            self.checkpoint.stop = "the test"


def main(devices, folder, step, on_device):
    folder = pathlib.Path(folder)
    mv.distribution.data_parallel(int(devices))
    on_device = on_device == "on device"
    layer = mv.views.RandomViews(train.AUGMENTATION, train.VIEWS) if on_device else None
    model = train.make_model(mv.losses.BarlowTwins(), layer, lars=False)
    # Larger steps turn roundings at the kink of a ReLU into other weights.
    model.compile(keras.optimizers.SGD(0.005, momentum=0.9), mv.losses.BarlowTwins())
    model.optimizer.build(model.trainable_variables)
    images = np.random.default_rng(0).integers(
        0, 256, (640, train.SIZE, train.SIZE, 3), "uint8"
    )

    def make_stream(start):
        if on_device:
            return mv.data.batches(images, train.BATCH, start_step=start)
        views = mv.views.KerasCVViews(train.AUGMENTATION, train.VIEWS)
        return mv.data.multiview(images, views, train.BATCH, start_step=start)

    metrics = mv.callbacks.MetricsCSV(folder / "metrics.csv")
    checkpoint = mv.callbacks.Checkpoint(
        folder / "checkpoint", state={"metrics": metrics}
    )
    with contextlib.suppress(mv.callbacks.Interrupted):
        mv.training.fit(
            model,
            make_stream,
            1,
            STEPS,
            checkpoint,
            [StopAt(checkpoint, int(step)), metrics],
            verbose=0,
        )
    assert checkpoint.step == int(step)
    if mv.distribution.is_chief():
        weights = [keras.ops.convert_to_numpy(w) for w in model.weights]
        np.savez(folder / f"{step}.npz", *weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
