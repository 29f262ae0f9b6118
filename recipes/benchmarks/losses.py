"""Time and memory of the losses against views and features, beside double loops.

    python recipes/benchmarks/losses.py --out=losses

The script times forward and backward passes from projections in memory, compiled where
the backend compiles (TensorFlow, JAX). The double loops compute the same objectives as
they are usually written: over pairs of views, with one D x D matrix for each pair
(Barlow Twins) or two (VICReg). A loop is skipped, and marked, where its matrices would
take more than half of the free memory. All losses of one D are timed in turn, then each
loop, and the fastest round of each counts: compare times of one D with each other, as
single times depend on the machine.

Memory is the rise of the peak memory of the process during a step (Linux only); with
TensorFlow, which keeps freed memory, the rise in its own count; on an accelerator, the
rise in the count of PyTorch, and not known for others. The script takes about 10
minutes on two CPU cores.
"""

import contextlib
import ctypes
import itertools
import pathlib
import time

import keras
import matplotlib
import numpy as np
from absl import app
from absl import flags
from keras import ops
from pair_loops import PairLoop
from pair_loops import barlow_twins_loop
from pair_loops import vicreg_loop

from keras_mvssl import training
from keras_mvssl.losses import BarlowTwins
from keras_mvssl.losses import ReformulatedSSL
from keras_mvssl.losses import VICReg

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BATCH = flags.DEFINE_integer("batch_size", 256, "Images B in a batch.")
DIMS = flags.DEFINE_list(
    "projector_dims", ["64", "256", "1024", "4096", "8192"], "Numbers of features D."
)
VIEWS = flags.DEFINE_list("views", ["2", "4", "8", "16"], "Numbers of views V.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Timings of each loss; the fastest counts.")
OUT = flags.DEFINE_string("out", None, "Path for results, without .json and .png.")


LOSSES = {
    "Barlow Twins, mean": BarlowTwins(),
    "Barlow Twins, all": BarlowTwins(pairing="all"),
    "VICReg": VICReg(),
    "Reformulated": ReformulatedSSL(),
}
# `{name: (loss, D x D matrices of a pair, name of the loss that computes the same)}`
LOOPS = {
    "Barlow Twins, loop": (PairLoop(barlow_twins_loop), 1, "Barlow Twins, all"),
    "VICReg, loop": (PairLoop(vicreg_loop), 2, "VICReg"),
}


def with_gradient(loss):
    """Return a compiled function of projections that computes value and gradient."""

    def function(x):
        return loss(x, x)

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        step = jax.jit(jax.value_and_grad(function))
        return lambda x: jax.block_until_ready(step(x))[0]
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
        value = function(x)
        value.backward()
        return value.detach().cpu()  # waits for the device

    return step


def process_memory(key):
    """Return a memory entry of /proc/self/status, in MiB."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024


def measure_memory(step, z):
    """Return the MiB by which memory rises at most during a step, None if unknown."""
    if keras.backend.backend() == "tensorflow":
        from tensorflow.config import experimental as tf

        with contextlib.suppress(ValueError):  # This device does not count.
            before = tf.get_memory_info("CPU:0")["current"]
            tf.reset_memory_stats("CPU:0")
            step(z)
            return (tf.get_memory_info("CPU:0")["peak"] - before) / 2**20
    if training.provenance()["device"] != "cpu":
        is_torch = keras.backend.backend() == "torch"
        return measure_cuda_memory(step, z) if is_torch else None
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    except OSError:
        return None
    before = process_memory("VmRSS")
    step(z)
    return process_memory("VmHWM") - before


def measure_cuda_memory(step, z):
    """Return the MiB by which PyTorch's memory on CUDA rises during a step."""
    import torch

    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step(z)
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def free_memory():
    """Return the bytes that are free or held by this process, None if unknown."""
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvail"))
    return free + int(process_memory("VmRSS") * 2**20)


def fits(matrices, views, dim):
    """Return whether a loop's matrices take less than half of the free memory."""
    free = free_memory()
    needed = 4 * matrices * views * (views - 1) / 2 * dim**2
    return free is None or needed < free / 2


def measure(dim):
    """Time all losses and loops at one number of features.

    Args:
        dim: Features D.

    Returns:
        A row for each number of views, with `{name: {ms, mib}}`; None for a loop that
        is skipped.
    """
    rng = np.random.default_rng(0)
    rows = []
    for views in map(int, VIEWS.value):
        z = rng.normal(size=(BATCH.value, views, dim)).astype("float32")
        rows.append({"views": views, "dim": dim, "z": ops.convert_to_tensor(z)})
    steps = {name: with_gradient(loss) for name, loss in LOSSES.items()}
    time_in_turn(rows, steps)
    # Loops come one number of views at a time, as their matrices fill the memory.
    for row in rows:
        z = row.pop("z")
        for name, (loss, matrices, same) in LOOPS.items():
            row[name] = None
            if fits(matrices, row["views"], dim):
                step = with_gradient(loss)
                values = float(step(z)), float(steps[same](z))
                assert abs(values[0] / values[1] - 1) < 1e-3, (name, values)
                timed = {"z": z}
                time_in_turn([timed], {name: step})
                row[name] = timed[name]
    return rows


def time_in_turn(rows, steps):
    """Measure each function on the projections of each row, and write it into the row.

    Args:
        rows: Rows with projections `z`, which receive `{name: {ms, mib}}`.
        steps: `{name: function}`, of `with_gradient`.
    """
    pairs = list(itertools.product(rows, steps))
    for row, name in pairs:
        steps[name](row["z"])  # compiles
        row[name] = {"ms": float("inf")}
    for _ in range(ROUNDS.value):
        for row, name in pairs:
            if 1000 < row[name]["ms"] < float("inf"):
                continue  # A step of seconds needs no more than one timing.
            steps[name](row["z"])  # fills the caches with what this step reads
            start = time.perf_counter()
            steps[name](row["z"])
            elapsed = 1000 * (time.perf_counter() - start)
            row[name]["ms"] = min(row[name]["ms"], elapsed)
    for row, name in pairs:
        row[name]["mib"] = measure_memory(steps[name], row["z"])


def print_table(rows, quantity, digits):
    """Print one quantity of all rows, `ms` or `mib`."""
    names = (*LOSSES, *LOOPS)
    print(f"{'V':>3}{'D':>6}" + "".join(f"{name:>20}" for name in names))
    for row in rows:
        line = f"{row['views']:>3}{row['dim']:>6}"
        for name in names:
            if row[name] is None:
                line += f"{'does not fit':>20}"
            elif row[name][quantity] is None:
                line += f"{'-':>20}"
            else:
                line += f"{row[name][quantity]:>20.{digits}f}"
        print(line)


def plot(rows, path):
    """Draw time and memory against views and against features."""
    views, dims = (sorted({row[key] for row in rows}) for key in ("views", "dim"))
    fixed_dim, fixed_views = dims[len(dims) // 2], views[-2:][0]
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    columns = [
        ("views", "views V", f"D = {fixed_dim}", "dim", fixed_dim),
        ("dim", "features D", f"V = {fixed_views}", "views", fixed_views),
    ]
    for line, (quantity, label) in enumerate([("ms", "ms"), ("mib", "MiB")]):
        for column, (x, x_label, title, key, value) in enumerate(columns):
            axis = axes[line, column]
            for i, name in enumerate((*LOSSES, *LOOPS)):
                kept = [row for row in rows if row[key] == value and row[name]]
                kept = [row for row in kept if row[name][quantity] is not None]
                style = {"linestyle": "--"} if name in LOOPS else {}
                axis.plot(
                    [row[x] for row in kept],
                    [row[name][quantity] for row in kept],
                    marker="o",
                    color=f"C{i}",
                    label=name,
                    **style,
                )
            scale = "log" if axis.get_lines()[0].get_xdata().size else "linear"
            axis.set(
                xscale="log", yscale=scale, xlabel=x_label, ylabel=label, title=title
            )
            axis.set_xticks([*(views if x == "views" else dims)])
            axis.xaxis.set_major_formatter("{x:.0f}")
            axis.minorticks_off()
            axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8)
    device = training.provenance()["device"]
    figure.suptitle(
        f"Forward and backward pass, B = {BATCH.value}, {keras.backend.backend()} on "
        f"{device}"
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write(rows):
    """Write the rows so far, where `--out` is given."""
    if not OUT.value:
        return
    result = {
        **training.provenance(),
        "batch_size": BATCH.value,
        "rows": rows,
    }
    path = pathlib.Path(OUT.value)
    training.write_json(path.with_suffix(".json"), result)
    plot(rows, path.with_suffix(".png"))


def main(argv):
    """Measure everything, print the tables and write the results."""
    del argv
    rows = []
    for dim in map(int, DIMS.value):
        rows += measure(dim)
        print_table(rows[-len(VIEWS.value) :], "ms", 2)
        write(rows)
    for quantity, title, digits in (("ms", "Milliseconds", 2), ("mib", "MiB", 0)):
        print(f"\n{title}, B = {BATCH.value}, {keras.backend.backend()}")
        print_table(rows, quantity, digits)


if __name__ == "__main__":
    app.run(main)
