"""Kills a run of the shapes recipe at random moments, and starts it again.

    KERAS_BACKEND=jax python tests/programs/kill.py FOLDER --kills=20

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

ROOT = pathlib.Path(__file__).parents[2]
# Long enough that there is something left to kill.
SETTINGS = (
    *("--views=2", "--batch_size=32", "--epochs=3", "--steps_per_epoch=150"),
    *("--probe_every=3", "--checkpoint_steps=20", "--projector_dim=32"),
)
# Measured, not computed.
TIMES = {"seconds", "views_per_second", "data_wait"}


class Process:
    """The recipe in a process of its own."""

    def __init__(self, workdir, log, flags):
        self.log = log
        self.begin = log.stat().st_size if log.exists() else 0
        with open(log, "a") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-u", ROOT / "recipes/shapes.py"]
                + [f"--workdir={workdir}", *SETTINGS, *flags],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def wait_for_training(self):
        """Returns when an epoch begins, or all is over."""
        while self.process.poll() is None:
            with open(self.log, errors="replace") as file:
                file.seek(self.begin)
                if "Epoch " in file.read():
                    return
            time.sleep(0.05)

    def end(self):
        assert self.process.wait() == 0, f"It did not end well: {self.log}"


def run(folder, kills, flags=()):
    """Returns how many kills hit, and how many seconds one run trains."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    log = folder / "log.txt"
    whole = Process(folder / "whole", log, flags)
    begin = time.monotonic()
    whole.wait_for_training()
    loads = time.monotonic() - begin
    whole.end()
    trains = time.monotonic() - begin - loads
    hit = 0
    while hit < kills:
        killed = Process(folder / "killed", log, flags)
        # One in five while it loads, the others while it trains, probes and saves.
        if rng.random() < 0.2:
            time.sleep(rng.uniform(0, loads))
        else:
            killed.wait_for_training()
            time.sleep(rng.uniform(0, 2 * trains / kills))
        if killed.process.poll() is not None:
            killed.end()
            break
        killed.process.kill()
        killed.process.wait()
        hit += 1
    Process(folder / "killed", log, flags).end()
    return hit, trains


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
    print(
        f"{hit} kills; {seconds:.0f} s of training came out the same, to the last bit"
    )


if __name__ == "__main__":
    main()
