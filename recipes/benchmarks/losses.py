"""Time and memory of the losses against views and features, beside double loops.

    python recipes/benchmarks/losses.py --out=losses

Forward and backward passes from projections in memory, compiled where the backend
compiles (TensorFlow, JAX). The double loops are the same objectives as they are usually
written: over pairs of views, with a D x D matrix for each (Barlow Twins) or two
(VICReg); one is skipped, and marked, where its matrices would take more than half of
the free memory. All losses of one D are timed in turn, then each loop, and the fastest
round of each counts: compare those of one D, single times depend on the machine. Memory
is the rise of the process's peak during a step (Linux only), or of TensorFlow's own
count, where it keeps what it has freed; on an accelerator, PyTorch's count alone. About
10 minutes on two CPU cores.
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

from keras_mvssl import distribution
from keras_mvssl.losses import BarlowTwins
from keras_mvssl.losses import ReformulatedSSL
from keras_mvssl.losses import VICReg
from keras_mvssl.training import results as records

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BATCH = flags.DEFINE_integer("batch_size", 256, "Images B.")
DIMS = flags.DEFINE_list(
    "projector_dims", ["64", "256", "1024", "4096", "8192"], "Features D."
)
VIEWS = flags.DEFINE_list("views", ["2", "4", "8", "16"], "Numbers of views V.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Timings of each, of which the best counts.")
OUT = flags.DEFINE_string("out", None, "Path for results, without .json and .png.")


def correlation(x, y):
    """Of standardised views `(B, D)`."""
    return ops.matmul(ops.transpose(x), y) / x.shape[0]


def barlow_twins_loop(z):
    """The mean of the original loss over pairs, with joint standardisation."""
    z = z - ops.mean(z, axis=(0, 1))
    z = z / ops.sqrt(ops.mean(ops.square(z), axis=(0, 1)) + 1e-5)
    beta, total = 4 / z.shape[-1], 0.0
    pairs = list(itertools.combinations(range(z.shape[1]), 2))
    for a, b in pairs:
        c = correlation(z[:, a], z[:, b])
        diagonal = ops.diagonal(c)
        off_diagonal = ops.sum(ops.square(c)) - ops.sum(ops.square(diagonal))
        total = total + ops.sum(ops.square(1.0 - diagonal)) + beta * off_diagonal
    return total / len(pairs)


def vicreg_loop(z):
    """The mean of the published two-view loss over pairs."""
    total = 0.0
    batch, views, dim = z.shape
    pairs = list(itertools.combinations(range(views), 2))
    for a, b in pairs:
        total = total + 25.0 * ops.mean(ops.square(z[:, a] - z[:, b]))
        for x in (z[:, a], z[:, b]):
            x = (x - ops.mean(x, axis=0)) * (batch / (batch - 1)) ** 0.5
            c = correlation(x, x)
            diagonal = ops.diagonal(c)
            spread = ops.mean(ops.relu(1.0 - ops.sqrt(diagonal + 1e-4)))
            off_diagonal = ops.sum(ops.square(c)) - ops.sum(ops.square(diagonal))
            total = total + 12.5 * spread + off_diagonal / dim
    return total / len(pairs)


class Loop(keras.losses.Loss):
    def __init__(self, function):
        super().__init__(dtype="float32")
        self.function = function

    def call(self, y_true, y_pred):
        return self.function(y_pred)


LOSSES = {
    "Barlow Twins, mean": BarlowTwins(),
    "Barlow Twins, all": BarlowTwins(pairing="all"),
    "VICReg": VICReg(),
    "Reformulated": ReformulatedSSL(),
}
# {name: (loss, D x D matrices for a pair, the loss that computes the same)}
LOOPS = {
    "Barlow Twins, loop": (Loop(barlow_twins_loop), 1, "Barlow Twins, all"),
    "VICReg, loop": (Loop(vicreg_loop), 2, "VICReg"),
}


def with_gradient(loss):
    """A function of projections that computes value and gradient, compiled."""

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
        return value.detach().cpu()  # waits

    return step


def status(key):
    """A line of /proc/self/status, in MiB."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024


def memory(step, z):
    """MiB by which memory rises at most during a step."""
    if keras.backend.backend() == "tensorflow":
        from tensorflow.config import experimental as tf

        with contextlib.suppress(ValueError):  # It does not count.
            before = tf.get_memory_info("CPU:0")["current"]
            tf.reset_memory_stats("CPU:0")
            step(z)
            return (tf.get_memory_info("CPU:0")["peak"] - before) / 2**20
    if distribution.device_name() != "cpu":
        return memory_of_cuda(step, z) if keras.backend.backend() == "torch" else None
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    except OSError:
        return None
    before = status("VmRSS")
    step(z)
    return status("VmHWM") - before


def memory_of_cuda(step, z):
    import torch

    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step(z)
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def free_memory():
    """Bytes of memory that are free or held by this process, None if unknown."""
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvail"))
    return free + int(status("VmRSS") * 2**20)


def fits(matrices, views, dim):
    free = free_memory()
    needed = 4 * matrices * views * (views - 1) / 2 * dim**2
    return free is None or needed < free / 2


def measure(dim):
    """A row for each number of views: `{name: {ms, mib}}`, None for those skipped."""
    rng = np.random.default_rng(0)
    rows = []
    for views in map(int, VIEWS.value):
        z = rng.normal(size=(BATCH.value, views, dim)).astype("float32")
        rows.append({"views": views, "dim": dim, "z": ops.convert_to_tensor(z)})
    steps = {name: with_gradient(loss) for name, loss in LOSSES.items()}
    time_in_turn(rows, steps)
    # Of those, the matrices of one number of views at a time fill the memory.
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
    """Best milliseconds, and MiB, of each function on each row's projections."""
    pairs = list(itertools.product(rows, steps))
    for row, name in pairs:
        steps[name](row["z"])  # compiles
        row[name] = {"ms": float("inf")}
    for _ in range(ROUNDS.value):
        for row, name in pairs:
            if 1000 < row[name]["ms"] < float("inf"):
                continue  # Seconds are long enough to be timed once.
            steps[name](row["z"])  # Then the caches hold its own.
            start = time.perf_counter()
            steps[name](row["z"])
            elapsed = 1000 * (time.perf_counter() - start)
            row[name]["ms"] = min(row[name]["ms"], elapsed)
    for row, name in pairs:
        row[name]["mib"] = memory(steps[name], row["z"])


def table(rows, quantity, digits):
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
    figure.suptitle(
        f"Forward and backward pass, B = {BATCH.value}, {keras.backend.backend()} on "
        f"{distribution.device_name()}"
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write(rows):
    """What is known so far, where it is wanted."""
    if not OUT.value:
        return
    result = {
        **records.provenance(),
        "batch_size": BATCH.value,
        "device": distribution.device_name(),
        "rows": rows,
    }
    path = pathlib.Path(OUT.value)
    records.write_json(path.with_suffix(".json"), result)
    plot(rows, path.with_suffix(".png"))


def main(argv):
    del argv
    rows = []
    for dim in map(int, DIMS.value):
        rows += measure(dim)
        table(rows[-len(VIEWS.value) :], "ms", 2)
        write(rows)
    for quantity, title, digits in (("ms", "Milliseconds", 2), ("mib", "MiB", 0)):
        print(f"\n{title}, B = {BATCH.value}, {keras.backend.backend()}")
        table(rows, quantity, digits)


if __name__ == "__main__":
    app.run(main)
