"""How much of a training step is the encoder.

    python recipes/benchmarks/step.py --out=step

The bare encoder (forward and backward on B·V ready-made views, nothing else) beside
whole training steps, those of `MultiViewModel.fit`: with ready-made views (projector,
loss and optimizer on top of the encoder), with views made on the device by
`RandomViews`, and with `KerasCVViews` in tf.data. A share is the views per second of a
step over those of the bare encoder; data wait is the part of a step with `KerasCVViews`
that one with ready-made views does not take. All of a row are timed in turn, and the
fastest round of each counts. On an accelerator, one more column leaves the statistics
of the loss to the precision that the backend multiplies in; on PyTorch, one leaves
batch normalisation to Keras. With --rounds=2 and TensorFlow, 9 minutes on two CPU
cores.
"""

import contextlib
import importlib.util
import pathlib
import time
from unittest import mock

import keras
import matplotlib
import numpy as np
from absl import app
from absl import flags
from keras import ops

import keras_mvssl as mv
from keras_mvssl import distribution
from keras_mvssl.training import results as records

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ENCODERS = {
    "tiny": mv.models.TinyResNet,
    "resnet18": lambda shape: mv.models.ResNet18(shape, stem="cifar"),
}
BACKBONES = flags.DEFINE_list("backbones", [*ENCODERS], "Encoders.")
BATCH = flags.DEFINE_list("batch_sizes", ["256", "32"], "Images B for each encoder.")
PROJECTOR = flags.DEFINE_list("projector_dims", ["128", "256"], "D for each encoder.")
VIEWS = flags.DEFINE_list("views", ["2", "4", "8"], "Numbers of views V.")
SIZE = flags.DEFINE_integer("size", 32, "Pixels of images and views.")
PRECISION = flags.DEFINE_enum(
    "precision", "float32", ["float32", "bfloat16", "float16"], "Of layers."
)
ROUNDS = flags.DEFINE_integer("rounds", 3, "Timings of each, of which the best counts.")
SECONDS = flags.DEFINE_float("seconds", 2.0, "Of a timing, about.")
OUT = flags.DEFINE_string("out", None, "Path for results, without .json and .png.")

STEPS = "ready views", "RandomViews", "KerasCVViews", "own precision", "Keras' norm"


def bare_step(encoder, views):
    """A function that runs the encoder on views forward and backward.

    It returns a tensor that comes last, to wait for.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def loss(trainable, others, views):
            features, others = encoder.stateless_call(
                trainable, others, views, training=True
            )
            return ops.sum(features), others

        step = jax.jit(jax.value_and_grad(loss, has_aux=True))
        trainable = [x.value for x in encoder.trainable_variables]
        others = [x.value for x in encoder.non_trainable_variables]
        return lambda: step(trainable, others, views)[1][0]
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                value = ops.sum(encoder(views, training=True))
            return tape.gradient(value, encoder.trainable_variables)

        return lambda: step()[0]
    # As training lets it.
    distribution.fuse_batch_normalization(encoder)

    def step():
        encoder.zero_grad()
        ops.sum(encoder(views, training=True)).backward()
        # The first layer's gradient comes last.
        return next(encoder.parameters()).grad

    return step


class Ready(keras.utils.PyDataset):
    """One batch of views on the device, over and over."""

    num_batches = None

    def __init__(self, views):
        super().__init__()
        self.views = views

    def __getitem__(self, index):
        return (self.views,)


class Clock(keras.callbacks.Callback):
    """Seconds of the last epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def whole_step(backbone, dim, layer, stream, **patches):
    """A function `steps -> seconds` of training with `fit`.

    `patches` replace functions of `keras_mvssl.distribution`.
    """
    encoder = ENCODERS[backbone]((SIZE.value, SIZE.value, 3))
    projector = mv.models.Projector(encoder.output_shape[-1], dim)
    model = mv.MultiViewModel(encoder, projector, layer)
    with patched(patches):
        model.compile("adamw", loss=mv.losses.BarlowTwins())
    clock = Clock()

    def seconds(steps):
        # The first epoch fills the pipeline.
        with patched(patches):
            model.fit(
                stream,
                epochs=2,
                steps_per_epoch=steps,
                shuffle=False,
                verbose=0,
                callbacks=[clock],
            )
        return clock.seconds

    return seconds


def patched(functions):
    if not functions:
        return contextlib.nullcontext()
    return mock.patch.multiple(distribution, **functions)


def measure(backbone, batch_size, dim, views):
    """Views per second of each."""
    size = SIZE.value
    augmentation = mv.views.Augmentation(size=size, hue=0.1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * batch_size, size, size, 3), dtype="uint8")
    layer = mv.views.RandomViews(augmentation, views)
    ready = ops.cast(layer(images[:batch_size], step=0), "uint8")
    flat = ops.reshape(ready, (-1, size, size, 3))
    bare = bare_step(ENCODERS[backbone]((size, size, 3)), flat)
    ops.convert_to_numpy(bare())  # compiles

    def bare_seconds(steps):
        start = time.perf_counter()
        for _ in range(steps):
            last = bare()
        ops.convert_to_numpy(last)
        return time.perf_counter() - start

    batches = mv.data.batches(images, batch_size)
    functions = {
        "encoder": bare_seconds,
        "ready views": whole_step(backbone, dim, None, Ready(ready)),
        "RandomViews": whole_step(backbone, dim, layer, batches),
    }
    if importlib.util.find_spec("tensorflow"):
        make = mv.views.KerasCVViews(augmentation, views)
        stream = mv.data.multiview(images, make, batch_size)
        functions["KerasCVViews"] = whole_step(backbone, dim, None, stream)
    if distribution.device_name() != "cpu":
        functions["own precision"] = whole_step(
            backbone, dim, None, Ready(ready), matmul=ops.matmul
        )
    if keras.backend.backend() == "torch":
        functions["Keras' norm"] = whole_step(
            backbone,
            dim,
            None,
            Ready(ready),
            fuse_batch_normalization=lambda model: None,
        )
    steps = max(2, round(SECONDS.value / bare_seconds(3) * 3))
    best = dict.fromkeys(functions, 0.0)
    for round_ in range(ROUNDS.value + 1):
        for name, seconds in functions.items():
            took = seconds(steps if round_ else 1)
            if round_:  # The first compiles.
                best[name] = max(best[name], steps * batch_size * views / took)
    row = {
        "backbone": backbone,
        "batch_size": batch_size,
        "projector_dim": dim,
        "views": views,
        **best,
    }
    if "KerasCVViews" in best:
        row["data wait"] = 1.0 - best["KerasCVViews"] / best["ready views"]
    return row


def plot(rows, path):
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
        for name in STEPS:
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
    figure.suptitle(
        f"A training step, {keras.backend.backend()} on {distribution.device_name()}"
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write(rows):
    """What is known so far, where it is wanted."""
    if not OUT.value:
        return
    path = pathlib.Path(OUT.value)
    result = {
        **records.provenance(),
        "device": distribution.device_name(),
        "precision": PRECISION.value,
        "rows": rows,
    }
    records.write_json(path.with_suffix(".json"), result)
    plot(rows, path.with_suffix(".png"))


def main(argv):
    del argv
    distribution.keep_freed_memory()
    lists = BACKBONES.value, BATCH.value, PROJECTOR.value
    if len({len(x) for x in lists}) > 1:
        raise app.UsageError(
            "`--batch_sizes` and `--projector_dims` need a number for each of "
            f"`--backbones`. Received: {lists}"
        )
    if PRECISION.value != "float32":
        keras.config.set_dtype_policy(f"mixed_{PRECISION.value}")
    header = f"{'encoder':>10}{'B':>5}{'V':>3}{'views/s of the encoder':>24}"
    print(header + "".join(f"{name:>15}" for name in STEPS) + f"{'data wait':>11}")
    rows = []
    for backbone, batch_size, dim in zip(*lists, strict=True):
        for views in map(int, VIEWS.value):
            row = measure(backbone, int(batch_size), int(dim), views)
            rows.append(row)
            shares = [
                f"{row[name] / row['encoder']:>15.1%}" if name in row else f"{'-':>15}"
                for name in STEPS
            ]
            wait = f"{row['data wait']:>11.1%}" if "data wait" in row else ""
            print(
                f"{backbone:>10}{row['batch_size']:>5}{views:>3}{row['encoder']:>24,.0f}"
                + "".join(shares)
                + wait,
                flush=True,
            )
            write(rows)


if __name__ == "__main__":
    app.run(main)
