"""Views per second against devices, and the bytes that devices exchange.

    python recipes/benchmarks/scaling.py --devices=1,2,4 --out=scaling

The first table is measured. Each number of devices trains in processes of its own: a
tiny ResNet on `RandomViews`, with the same batch in all. On a CPU the devices share its
cores, so the table shows the cost of the exchange, not a gain. The second table is
computed: for `--plan_devices` devices with `--bandwidth` GB/s each, the bytes that each
device sends in a step and the seconds that sending takes, if none of it is hidden
behind computation. A ring of N devices sends (N-1)/N of the numbers that are gathered,
and twice that share of the numbers that are summed.

- Projections are gathered, and their gradients scattered back: 2 B·V·D numbers at the
  price of gathering. Any loss is then exact. In feature space, `pairing="mean"` could
  instead sum D x D correlations, D² numbers at the price of a sum, and send nothing on
  the way back: less where D < B·V. That is not built; the table shows what it would
  send.
- Gradients are summed: as many numbers as the network has weights.
- Batch normalisation sums two means forward and two backward for each channel.
"""

import json
import subprocess
import sys
import time

import keras
import numpy as np
from absl import app
from absl import flags

import keras_mvssl as mv

DEVICES = flags.DEFINE_list(
    "devices", ["1", "2", "4"], "Numbers of devices to measure."
)
BATCH = flags.DEFINE_integer("batch_size", 256, "Images B in a batch of all devices.")
VIEWS = flags.DEFINE_integer("views", 4, "Views V.")
DIM = flags.DEFINE_integer("projector_dim", 256, "Features D of the projector.")
STEPS = flags.DEFINE_integer("steps", 8, "Steps that are timed, after two others.")
PLAN_DEVICES = flags.DEFINE_integer("plan_devices", 256, "Devices of the second table.")
PLAN_BATCH = flags.DEFINE_integer(
    "plan_batch_size", 4096, "Images B of the second table."
)
BANDWIDTH = flags.DEFINE_float(
    "bandwidth", 25.0, "GB/s that a device sends, in the second table."
)
OUT = flags.DEFINE_string("out", None, "Path for results, without .json.")
CHILD = flags.DEFINE_integer(
    "child",
    None,
    "Devices that this process measures; the script sets it in the processes that it "
    "starts.",
)

FLOAT32_BYTES = 4
# A column of the second table that is not part of its sum.
ALTERNATIVE = "correlations instead"


def measure(devices):
    """Train on some devices, and print views per second in the first process."""
    mv.distribution.data_parallel(devices)
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2 * BATCH.value, 32, 32, 3), dtype="uint8")
    views = mv.views.RandomViews(mv.views.Augmentation(size=32, hue=0.1), VIEWS.value)
    encoder = mv.models.TinyResNet((32, 32, 3))
    projector = mv.models.Projector(encoder.output_shape[-1], DIM.value)
    model = mv.MultiViewModel(encoder, projector, views)
    model.compile("sgd")
    stream = mv.data.batches(images, BATCH.value)
    model.fit(stream, steps_per_epoch=2, verbose=0)
    start = time.perf_counter()
    model.fit(stream, steps_per_epoch=STEPS.value, verbose=0)
    seconds = time.perf_counter() - start
    if mv.distribution.is_chief():
        rate = STEPS.value * BATCH.value * VIEWS.value / seconds
        sent = exchanged(model, devices, BATCH.value)
        row = {"devices": devices, "views_per_second": round(rate, 1), **sent}
        print(f"row {json.dumps(row)}", flush=True)


def exchanged(model, devices, batch_size):
    """Compute the bytes that each of some devices sends in a step of a model."""
    ring = (devices - 1) / devices * FLOAT32_BYTES
    dim = model.projector.output_shape[-1]
    channels = sum(
        layer.moving_mean.shape[0]
        for layer in layers_of(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    weights = sum(int(np.prod(w.shape)) for w in model.trainable_variables)
    return {
        "projections": round(ring * 2 * batch_size * VIEWS.value * dim),
        ALTERNATIVE: round(2 * ring * dim**2),
        "gradients": round(2 * ring * weights),
        "batch normalisation": round(2 * ring * 4 * channels),
    }


def layers_of(model):
    """List the layers of a model, with those of the models in it."""
    layers = []
    for layer in model.layers:
        layers += layers_of(layer) if hasattr(layer, "layers") else [layer]
    return layers


def plan():
    """Compute what `--plan_devices` devices send, in rows for usual networks."""
    rows = []
    for name, make in (
        ("ResNet-18", mv.models.ResNet18),
        ("ResNet-50", mv.models.ResNet50),
    ):
        encoder = make((None, None, 3))
        for dim in (256, 8192):
            projector = mv.models.Projector(encoder.output_shape[-1], dim)
            model = mv.MultiViewModel(encoder, projector)
            sent = exchanged(model, PLAN_DEVICES.value, PLAN_BATCH.value)
            row = {"encoder": name, "projector_dim": dim, **sent}
            total = sum(size for name, size in sent.items() if name != ALTERNATIVE)
            row["seconds"] = round(total / (BANDWIDTH.value * 1e9), 5)
            rows.append(row)
    return rows


def show(rows):
    """Print rows of results, bytes in MB."""
    for row in rows:
        cells = (
            f"{name} {value / 1e6:,.1f} MB"
            if isinstance(value, int) and name not in ("devices", "projector_dim")
            else f"{name} {value}"
            for name, value in row.items()
        )
        print(", ".join(cells), flush=True)


def main(argv):
    """Measure each number of devices in processes of its own, and print both tables."""
    if argv[1:]:
        raise app.UsageError(f"These are not flags: {argv[1:]}")
    if CHILD.value:
        return measure(CHILD.value)
    rows = []
    for devices in DEVICES.value:
        command = [sys.executable, *argv[:1], f"--child={devices}"]
        for flag in (BATCH, VIEWS, DIM, STEPS):
            command.append(f"--{flag.name}={flag.value}")
        result = subprocess.run(command, capture_output=True, text=True)
        lines = [x for x in result.stdout.splitlines() if x.startswith("row ")]
        if not lines:
            sys.exit(f"{devices} devices failed:\n{result.stderr}")
        rows.append(json.loads(lines[0].removeprefix("row ")))
        show(rows[-1:])
    print(
        f"Sent by each of {PLAN_DEVICES.value} devices in a step, {VIEWS.value} views, "
        f"batches of {PLAN_BATCH.value}, {BANDWIDTH.value:g} GB/s:"
    )
    planned = plan()
    show(planned)
    if OUT.value:
        result = {
            **mv.training.provenance(),
            "batch_size": BATCH.value,
            "views": VIEWS.value,
            "projector_dim": DIM.value,
            "rows": rows,
            "plan": {
                "devices": PLAN_DEVICES.value,
                "batch_size": PLAN_BATCH.value,
                "bandwidth": BANDWIDTH.value,
                "rows": planned,
            },
        }
        mv.training.write_json(f"{OUT.value}.json", result)


if __name__ == "__main__":
    app.run(main)
