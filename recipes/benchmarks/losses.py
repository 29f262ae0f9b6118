"""Time of the loss against the number of views, beside a double loop over pairs.

    python recipes/benchmarks/losses.py

Forward and backward passes, compiled where the backend compiles (TensorFlow, JAX). All
of a row are timed in turn, several times, and the fastest is kept: figures within a row
compare, single times depend on the machine.
"""

import json
import os
import pathlib
import platform
import time

import keras
import numpy as np
from absl import app
from absl import flags
from keras import ops

from keras_mvssl import distribution
from keras_mvssl.losses import BarlowTwins
from keras_mvssl.losses import correlations

BATCH = flags.DEFINE_integer("batch_size", 256, "Images B.")
DIM = flags.DEFINE_integer("projector_dim", 256, "Features D.")
VIEWS = flags.DEFINE_list("views", ["2", "4", "8", "16"], "Numbers of views V.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Timings of each, of which the best counts.")
OUT = flags.DEFINE_string("out", None, "JSON file for the results.")


def double_loop(z):
    """All pairs as they are usually written: one D x D product for each."""
    z = correlations.standardize(z)
    batch, views, dim = z.shape
    total = 0.0
    for a in range(views):
        for b in range(views):
            if a != b:
                c = ops.matmul(ops.transpose(z[:, a]), z[:, b]) / batch
                on = ops.sum(ops.square(1.0 - ops.diagonal(c)))
                off = ops.sum(ops.square(c * (1.0 - ops.eye(dim))))
                total = total + on + 4 / dim * off
    return total / (views * (views - 1))


def with_gradient(function):
    """A function of an array that computes value and gradient, compiled."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        step = jax.jit(jax.value_and_grad(function))
        return lambda x: jax.block_until_ready(step(x))
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function
        def step(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            return value, tape.gradient(value, x)

        return lambda x: step(x)[0].numpy()

    def step(x):
        x = x.detach().requires_grad_(True)
        function(x).backward()
        return x.grad

    return step


def main(argv):
    del argv
    mean, every = BarlowTwins(), BarlowTwins(pairing="all")
    functions = {
        "mean": lambda z: mean(z, z),
        "all": lambda z: every(z, z),
        "double loop": double_loop,
    }
    rows = []
    print(f"B={BATCH.value}, D={DIM.value}, {keras.backend.backend()}; milliseconds")
    print(f"{'V':>3}" + "".join(f"{name:>14}" for name in functions))
    for views in map(int, VIEWS.value):
        rng = np.random.default_rng(0)
        z = rng.normal(size=(BATCH.value, views, DIM.value)).astype("float32")
        z = ops.convert_to_tensor(z)
        steps = {name: with_gradient(f) for name, f in functions.items()}
        best = dict.fromkeys(steps, float("inf"))
        for step in steps.values():
            step(z)  # compiles
        for _ in range(ROUNDS.value):
            for name, step in steps.items():
                start = time.perf_counter()
                step(z)
                best[name] = min(best[name], time.perf_counter() - start)
        rows.append({"views": views, **{n: 1000 * t for n, t in best.items()}})
        print(f"{views:>3}" + "".join(f"{1000 * t:>14.2f}" for t in best.values()))
    growth = {name: rows[-1][name] / rows[0][name] for name in functions}
    print("x  " + "".join(f"{g:>14.1f}" for g in growth.values()))
    if OUT.value:
        result = {
            "command": "python recipes/benchmarks/losses.py",
            "batch_size": BATCH.value,
            "projector_dim": DIM.value,
            "device": distribution.device_name(),
            "cpu_cores": os.cpu_count(),
            "versions": {
                "python": platform.python_version(),
                **distribution.versions(),
            },
            "milliseconds": rows,
            "growth": growth,
        }
        pathlib.Path(OUT.value).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)
