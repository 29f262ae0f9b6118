"""Keeps a run of this version, for `test_earlier_runs.py` to try with later ones.

    PYTHONPATH=.:tests KERAS_BACKEND=jax python tests/programs/keep_run.py

It writes `tests/training/earlier_runs/stream_N/jax.tar.xz`: the folder of a run that
was stopped after its first step, and the encoder and results of the same run when it
was not stopped. To be run on each backend whenever the stream version rises.
"""

import contextlib
import importlib
import pathlib
import shutil
import signal
import tarfile
import tempfile

import keras
import numpy as np

import helpers
import keras_mvssl as mv

ROOT = pathlib.Path(__file__).parents[1] / "training/earlier_runs"


def recipe(folder):
    """Return the settings of the run, and write its images."""
    images = (np.arange(48 * 8 * 8 * 3) * 7919 % 251).reshape(48, 8, 8, 3)
    labels = np.arange(48, dtype="int32") % 2
    images[labels == 1] //= 2
    images = images.astype("uint8")
    parts = dict(x_train=images, y_train=labels, x_test=images, y_test=labels)
    np.savez(folder / "data.npz", **parts)
    return mv.training.Recipe(
        dataset="cifar10",
        data_dir=str(folder / "data.npz"),
        augmentation=mv.views.Augmentation(size=8),
        augment="device",
        backbone="tiny",
        projector_dim=4,
        views=2,
        epochs=2,
        steps_per_epoch=2,
        batch_size=16,
        checkpoint_steps=1,
    )


def main():
    build = importlib.import_module("keras_mvssl.training.build")
    build.BACKBONES["tiny"] = helpers.small_encoder
    backend = keras.backend.backend()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        settings = recipe(folder)
        kept = folder / backend
        kept.mkdir()
        mv.training.run(settings, folder / "whole")
        for name in ("encoder.keras", "results.json"):
            shutil.copy(folder / "whole" / name, kept)
        mv.callbacks.ViewGallery.on_train_begin = lambda self, logs=None: (
            signal.raise_signal(signal.SIGTERM)
        )
        with contextlib.suppress(mv.training.Interrupted):
            mv.training.run(settings, kept / "run")
        shutil.rmtree(kept / "run/tensorboard")
        shutil.rmtree(kept / "run/checkpoint/step-000000000")
        (kept / "run/.lock").unlink()
        archive = ROOT / f"stream_{mv.stream_version}" / f"{backend}.tar.xz"
        archive.parent.mkdir(exist_ok=True)
        with tarfile.open(archive, "w:xz") as file:
            file.add(kept, backend)


if __name__ == "__main__":
    main()
