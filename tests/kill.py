"""Kills a run of the shapes recipe at random moments, and starts it again.

    KERAS_BACKEND=jax python tests/kill.py FOLDER --kills=20

It ends with an error unless the run comes out as one that was not interrupted: with the
same bytes of every weight and the same rows of `metrics.csv`.
"""

import argparse
import csv
import os
import pathlib
import random
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = pathlib.Path(__file__).parent.parent
# About a minute of training, so that there is something left to kill.
SETTINGS = (
    *("--views=2", "--batch_size=32", "--epochs=3", "--steps_per_epoch=150"),
    *("--probe_every=3", "--checkpoint_steps=20", "--projector_dim=32"),
)
# Measured, not computed.
TIMES = {"seconds", "views_per_second", "data_wait"}


def start(workdir, log, flags=()):
    return subprocess.Popen(
        [sys.executable, ROOT / "recipes/shapes.py", f"--workdir={workdir}"]
        + [*SETTINGS, *flags],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run(folder, kills, flags=()):
    """Returns how many kills hit, and how many seconds one run takes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    with open(folder / "log.txt", "w") as log:
        before = time.monotonic()
        assert start(folder / "whole", log, flags).wait() == 0, folder / "log.txt"
        seconds = time.monotonic() - before
        hit = 0
        while hit < kills:
            process = start(folder / "killed", log, flags)
            try:
                code = process.wait(rng.uniform(1, 0.7 * seconds))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                hit += 1
                continue
            assert code == 0, f"It does not start again: {folder / 'log.txt'}"
            break
        assert start(folder / "killed", log, flags).wait() == 0, folder / "log.txt"
    return hit, seconds


def compare(folder):
    """Raises AssertionError for runs that differ."""
    import keras
    import numpy as np

    whole, killed = (
        keras.saving.load_model(folder / name / "encoder.keras").get_weights()
        for name in ("whole", "killed")
    )
    differing = [
        i for i, (a, b) in enumerate(zip(whole, killed)) if not np.array_equal(a, b)
    ]
    assert not differing, f"{len(differing)} of {len(whole)} weights differ"
    rows = []
    for name in ("whole", "killed"):
        with open(folder / name / "metrics.csv", newline="") as file:
            rows.append(list(csv.DictReader(file)))
    for a, b in zip(*rows, strict=True):
        for name in set(a) - TIMES:
            assert a[name] == b[name], (name, a[name], b[name])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=20)
    options, flags = parser.parse_known_args()
    hit, seconds = run(options.folder, options.kills, flags)
    compare(options.folder)
    print(f"{hit} kills; the run of {seconds:.0f} s came out the same, to the last bit")


if __name__ == "__main__":
    main()
