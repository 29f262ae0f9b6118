"""Cuts files of a run short at random bytes, and goes on, reports and evaluates.

    KERAS_BACKEND=jax python tests/programs/truncate.py FOLDER --count=200

Each attempt takes a copy of a run, stopped on the way or finished, and cuts one of its
files. A run that goes on must end with the weights of a whole one, or with an error
that names the file, or its folder in the case of a checkpoint. So must the report and,
for the encoder, the evaluation.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import random
import runpy
import shutil
import signal
import sys
import warnings

import numpy as np
from absl import flags

import keras_mvssl as mv
from keras_mvssl import report
from keras_mvssl import training
from programs import full_disk

ROOT = pathlib.Path(__file__).parents[2]
CLASSES = 2


def make_recipe(folder):
    """Make a small labelled data set and a recipe that trains on it."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (48, 12, 12, 3)).astype("uint8")
    labels = np.arange(48) % CLASSES
    arrays = dict(
        x_train=images, y_train=labels, x_test=images[:16], y_test=labels[:16]
    )
    np.savez(folder / "data.npz", **arrays)
    return training.Recipe(
        dataset=f"npz:{folder / 'data.npz'}",
        backbone="tiny",
        augment="device",
        views=2,
        epochs=2,
        steps_per_epoch=3,
        batch_size=8,
        projector_dim=8,
        checkpoint_steps=1,
    )


def stop_after(step):
    """Have the process be asked to stop after a step of a training."""
    real = mv.callbacks.Throughput.on_train_batch_end
    seen = iter(range(1, 100))

    def on_train_batch_end(*args, **kwargs):
        real(*args, **kwargs)
        if next(seen) == step:
            os.kill(os.getpid(), signal.SIGTERM)

    mv.callbacks.Throughput.on_train_batch_end = on_train_batch_end
    return lambda: setattr(mv.callbacks.Throughput, "on_train_batch_end", real)


def go_on(recipe, folder):
    """Go on with a run, and return a checksum of its weights."""
    training.run(recipe, folder)
    return full_disk.weights(folder)


def evaluate(folder):
    """Evaluate the encoder of a run by the script in `recipes/`."""
    before = sys.argv
    sys.argv = ["evaluate.py", str(folder / "encoder.keras"), "--dataset=shapes"]
    try:
        for name in list(flags.FLAGS):
            if name in ("dataset", "data_dir", "batch_size", "out", "seed"):
                delattr(flags.FLAGS, name)
        runpy.run_path(str(ROOT / "recipes/evaluate.py"), run_name="__main__")
    finally:
        sys.argv = before


def attempt(do, file):
    """Return what was done: a result, or None after an error that names the file."""
    names = {file.name, *(p.name for p in file.parents if p.name.startswith("step-"))}
    try:
        return do()
    except Exception as error:
        if not any(name in str(error) for name in names):
            raise AssertionError(f"{file}: {type(error).__name__}: {error}") from error
        return None


def use(recipe, folder, file):
    """Use a run of which a file is cut; return what `go_on` does, or None."""
    attempt(lambda: report.write([folder], folder / "again.html"), file)
    if file.name == "encoder.keras":
        attempt(lambda: evaluate(folder), file)
    return attempt(lambda: go_on(recipe, folder), file)


def check(folder, count, seed):
    """Cut files of copies of two runs; return what went wrong, a list of texts."""
    recipe, rng = make_recipe(folder), random.Random(seed)
    stopped, finished = folder / "stopped", folder / "finished"
    right = go_on(recipe, finished)
    put_back = stop_after(4)
    with contextlib.suppress(training.Interrupted):
        training.run(recipe, stopped)
    put_back()
    wrong, seen = [], collections.Counter()
    for i in range(count):
        source = (stopped, finished)[i % 2]
        copy = folder / "copy"
        shutil.copytree(source, copy)
        file = rng.choice(
            sorted(p for p in copy.rglob("*") if p.is_file() and p.stat().st_size)
        )
        size = rng.randrange(file.stat().st_size)
        os.truncate(file, size)
        what = f"{source.name}/{file.relative_to(copy)} at byte {size}"
        try:
            found = use(recipe, copy, file)
            if found not in (None, right):
                raise AssertionError("other weights")
            seen["the same weights" if found else "an error with the name"] += 1
        except (AssertionError, SystemExit) as error:
            wrong.append(f"{what}: {error}")
            print(f"WRONG {wrong[-1]}", file=sys.stderr, flush=True)
        shutil.rmtree(copy)
    print(f"{count} files cut: {dict(seen)}; wrong: {len(wrong)}")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problems = check(options.folder, options.count, options.seed)
    sys.exit("\n".join(problems) or 0)
