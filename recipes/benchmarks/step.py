"""Share of a training step that the encoder takes.

    python recipes/benchmarks/step.py --out=step

The script times the bare encoder (forward and backward on B·V ready-made views, nothing
else) beside whole training steps of `MultiViewModel.fit`: with ready-made views
(projector, loss and optimizer on top of the encoder), with views made on the device by
`RandomViews`, and with `KerasCVViews` in tf.data. A share is the views per second of a
step divided by those of the bare encoder; data wait is the part of a step with
`KerasCVViews` that a step with ready-made views does not take. All steps of a row are
timed in turn, and the fastest round of each counts. On an accelerator, one more column
takes the matrix products of the loss at the precision of the backend; on PyTorch, one
more leaves batch normalisation to Keras. With --rounds=2 and TensorFlow, the script
takes 9 minutes on two CPU cores.

With --peer, the script compares a step on ready-made views with the hand-written step
of `torch_peer.py`, on a CPU, by CPU-seconds and seconds. The two run in turn, and
medians count:

    python recipes/benchmarks/step.py --peer --batch_sizes=64,8 --views=4 \\
        --projector_dims=128,128 --rounds=5 --out=peer
"""

import importlib.util
import pathlib
import time

import keras
import matplotlib
import numpy as np
from absl import app
from absl import flags
from keras import ops
from peer import Peer
from peer import beside_peer
from peer import describe
from step_variants import RoundedBarlowTwins
from step_variants import bare_step
from step_variants import with_stock_normalization

import keras_mvssl as mv

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ENCODERS = {
    "tiny": mv.models.TinyResNet,
    "resnet18": lambda shape: mv.models.ResNet18(shape, stem="cifar"),
}
BACKBONES = flags.DEFINE_list("backbones", [*ENCODERS], "Encoders.")
BATCH = flags.DEFINE_list("batch_sizes", ["256", "32"], "Images B for each encoder.")
PROJECTOR = flags.DEFINE_list(
    "projector_dims", ["128", "256"], "Features D for each encoder."
)
VIEWS = flags.DEFINE_list("views", ["2", "4", "8"], "Numbers of views V.")
SIZE = flags.DEFINE_integer("size", 32, "Pixels of images and views.")
PRECISION = flags.DEFINE_enum(
    "precision", "float32", ["float32", "bfloat16", "float16"], "Precision of layers."
)
ROUNDS = flags.DEFINE_integer("rounds", 3, "Timings of each step; the fastest counts.")
SECONDS = flags.DEFINE_float("seconds", 2.0, "Seconds that a timing takes, about.")
PEER = flags.DEFINE_bool("peer", False, "Compare with a step written in PyTorch.")
OUT = flags.DEFINE_string("out", None, "Path for results, without .json and .png.")

# Columns of the table: kinds of training steps.
COLUMNS = "ready views", "RandomViews", "KerasCVViews", "own precision", "Keras' norm"


class ReadyViews(keras.utils.PyDataset):
    """One batch of views on the device, over and over.

    Args:
        views: The views.
    """

    num_batches = None

    def __init__(self, views):
        super().__init__()
        self.views = views

    def __getitem__(self, index):
        return (self.views,)


class EpochTimer(keras.callbacks.Callback):
    """Callback that measures the seconds and CPU-seconds of the last epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.process_time(), time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start[1]
        self.cpu_seconds = time.process_time() - self.start[0]


def whole_step(backbone, dim, layer, stream, loss=None, is_stock=False):
    """Return a function of a number of steps, to the times of training with `fit`.

    The function returns CPU-seconds and seconds.

    Args:
        backbone: Name in `ENCODERS`.
        dim: Features D of the projector.
        layer: `RandomViews` of the model, or None.
        stream: The data for `fit`.
        loss: The loss; by default Barlow Twins.
        is_stock: Whether batch normalisation is left to Keras.
    """
    encoder = ENCODERS[backbone]((SIZE.value, SIZE.value, 3))
    projector = mv.models.Projector(encoder.output_shape[-1], dim)
    if is_stock:
        encoder, projector = map(with_stock_normalization, (encoder, projector))
    model = mv.MultiViewModel(encoder, projector, layer)
    model.compile("adamw", loss=loss or mv.losses.BarlowTwins())
    timer = EpochTimer()

    def times(steps, epochs=2):
        # The first epoch fills the pipeline, the second is timed.
        model.fit(
            stream,
            epochs=epochs,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[timer],
        )
        return timer.cpu_seconds, timer.seconds

    return times


def measure(backbone, batch_size, dim, views):
    """Measure the views per second of each kind of step, in a row of results."""
    size = SIZE.value
    augmentation = mv.views.Augmentation(size=size, hue=0.1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * batch_size, size, size, 3), dtype="uint8")
    layer = mv.views.RandomViews(augmentation, views)
    ready = ops.cast(layer(images[:batch_size], step=0), "uint8")
    bare = bare_step(ENCODERS[backbone]((size, size, 3)), ready)
    ops.convert_to_numpy(bare())  # compiles

    def bare_times(steps):
        start = time.process_time(), time.perf_counter()
        for _ in range(steps):
            last = bare()
        ops.convert_to_numpy(last)
        return time.process_time() - start[0], time.perf_counter() - start[1]

    batches = mv.data.batches(images, batch_size)
    ready_views = ReadyViews(ready)
    functions = {
        "encoder": bare_times,
        "ready views": whole_step(backbone, dim, None, ready_views),
        "RandomViews": whole_step(backbone, dim, layer, batches),
    }
    if importlib.util.find_spec("tensorflow"):
        make = mv.views.KerasCVViews(augmentation, views)
        stream = mv.data.multiview(images, make, batch_size)
        functions["KerasCVViews"] = whole_step(backbone, dim, None, stream)
    if mv.training.provenance()["device"] != "cpu":
        functions["own precision"] = whole_step(
            backbone, dim, None, ready_views, RoundedBarlowTwins(batch_size)
        )
    if keras.backend.backend() == "torch":
        functions["Keras' norm"] = whole_step(
            backbone, dim, None, ready_views, is_stock=True
        )
    steps = max(2, round(SECONDS.value / bare_times(3)[1] * 3))
    best = dict.fromkeys(functions, 0.0)
    for round_ in range(ROUNDS.value + 1):
        for name, times in functions.items():
            _, took = times(steps if round_ else 1)
            if round_:  # The first round compiles.
                best[name] = max(best[name], steps * batch_size * views / took)
    row = {"backbone": backbone, "batch_size": batch_size, "projector_dim": dim}
    row |= {"views": views, **best}
    if "KerasCVViews" in best:
        row["data wait"] = 1.0 - best["KerasCVViews"] / best["ready views"]
    return row


def print_shares(row):
    """Print the shares of a row of `measure`."""
    shares = [
        f"{row[name] / row['encoder']:>15.1%}" if name in row else f"{'-':>15}"
        for name in COLUMNS
    ]
    wait = f"{row['data wait']:>11.1%}" if "data wait" in row else ""
    print(
        f"{row['backbone']:>10}{row['batch_size']:>5}{row['views']:>3}"
        f"{row['encoder']:>24,.0f}" + "".join(shares) + wait,
        flush=True,
    )


def measure_beside_peer(backbone, batch_size, dim, views):
    """Measure a step beside the hand-written one, in a row of results."""
    size = SIZE.value
    images = np.random.default_rng(0).integers(
        0, 256, (batch_size, views, size, size, 3), dtype="uint8"
    )
    ready = ReadyViews(ops.convert_to_tensor(images))
    row = {"backbone": backbone, "batch_size": batch_size, "projector_dim": dim}
    row |= {"views": views} | beside_peer(
        whole_step(backbone, dim, None, ready),
        lambda: Peer(backbone, batch_size, views, size, dim),
        batch_size * views,
        ROUNDS.value,
        SECONDS.value,
    )
    return row


def plot(rows, path):
    """Draw the share of each kind of step against views."""
    backbones = [x for x in ENCODERS if x in {row["backbone"] for row in rows}]
    figure, axes = plt.subplots(
        1,
        len(backbones),
        figsize=(5 * len(backbones), 4),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    for axis, backbone in zip(axes[0], backbones, strict=True):
        kept = [row for row in rows if row["backbone"] == backbone]
        for name in COLUMNS:
            if name in kept[0]:
                axis.plot(
                    [row["views"] for row in kept],
                    [row[name] / row["encoder"] for row in kept],
                    marker="o",
                    label=name,
                )
        axis.axhline(0.9, color="gray", linestyle=":", linewidth=1)
        axis.set(
            title=f"{backbone}, B = {kept[0]['batch_size']}",
            xlabel="views V",
            ylabel="throughput / bare encoder",
            ylim=(0, 1.1),
        )
        axis.set_xticks([row["views"] for row in kept])
        axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8, loc="lower left")
    device = mv.training.provenance()["device"]
    figure.suptitle(f"A training step, {keras.backend.backend()} on {device}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write(rows):
    """Write the rows so far, where `--out` is given."""
    if not OUT.value:
        return
    path = pathlib.Path(OUT.value)
    result = {
        **mv.training.provenance(),
        "precision": PRECISION.value,
        "rows": rows,
    }
    mv.training.write_json(path.with_suffix(".json"), result)
    if not PEER.value:
        plot(rows, path.with_suffix(".png"))


def main(argv):
    """Measure all rows, and print and write them as they come."""
    del argv
    mv.distribution.keep_freed_memory()
    lists = BACKBONES.value, BATCH.value, PROJECTOR.value
    if len({len(x) for x in lists}) > 1:
        raise app.UsageError(
            "`--batch_sizes` and `--projector_dims` need a number for each of "
            f"`--backbones`. Received: {lists}"
        )
    on_cpu = mv.training.provenance()["device"] == "cpu"
    if PEER.value and (PRECISION.value != "float32" or not on_cpu):
        raise app.UsageError("`--peer` compares float32 on a CPU.")
    if PRECISION.value != "float32":
        keras.config.set_dtype_policy(f"mixed_{PRECISION.value}")
    measure_row, print_row = measure, print_shares
    if PEER.value:
        measure_row, print_row = measure_beside_peer, describe
    else:
        header = f"{'encoder':>10}{'B':>5}{'V':>3}{'views/s of the encoder':>24}"
        columns = "".join(f"{name:>15}" for name in COLUMNS)
        print(f"{header}{columns}{'data wait':>11}")
    rows = []
    for backbone, batch_size, dim in zip(*lists, strict=True):
        for views in map(int, VIEWS.value):
            rows.append(measure_row(backbone, int(batch_size), int(dim), views))
            print_row(rows[-1])
            write(rows)


if __name__ == "__main__":
    app.run(main)
