"""Trains for 200 epochs, and prints the memory after each, with all that runs attach.

In a process of its own: one that other tests have used holds freed memory in pieces,
and grows for reasons that are not the run's.
"""

import json
import os
import pathlib
import sys

import keras

import keras_mvssl as mv
from keras_mvssl import training

STATM, PAGE = pathlib.Path("/proc/self/statm"), os.sysconf("SC_PAGE_SIZE")


class Memory(keras.callbacks.Callback):
    """Main memory in use after each epoch, in bytes."""

    def __init__(self):
        super().__init__()
        self.used = []

    def on_epoch_end(self, epoch, logs=None):
        self.used.append(int(STATM.read_text().split()[1]) * PAGE)


def train(workdir):
    images, labels = mv.data.load("shapes").train
    images, labels = images[:64], labels[:64]
    encoder = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Rescaling(1 / 128, offset=-1),
            keras.layers.Conv2D(32, 8, strides=8),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    views = mv.views.RandomViews(mv.views.Augmentation.preset("shapes"), 2)
    model = mv.MultiViewModel(encoder, mv.models.Projector(32, dim=16), views)
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    memory = Memory()
    metrics = mv.callbacks.MetricsCSV(workdir / "metrics.csv")
    spectrum = mv.callbacks.Spectrum(images)
    training.fit(
        model,
        lambda step: mv.data.batches(images, 32, start_step=step),
        200,
        2,
        mv.callbacks.Checkpoint(workdir / "checkpoint", state={"metrics": metrics}),
        [
            mv.callbacks.StopOnDivergence(),
            mv.callbacks.Throughput(64),
            mv.callbacks.LinearProbe((images, labels), (images, labels)),
            mv.callbacks.KNNProbe((images, labels), (images, labels)),
            spectrum,
            metrics,
            mv.callbacks.TensorBoard(workdir / "logs", spectrum=spectrum),
            memory,
        ],
        verbose=0,
    )
    return memory.used


if __name__ == "__main__":
    mv.distribution.keep_freed_memory()
    print(json.dumps(train(pathlib.Path(sys.argv[1]))))
