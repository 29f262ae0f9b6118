"""Views per second against devices, and what they exchange: measured, and on paper.

    python recipes/benchmarks/scaling.py --devices=1,2,4 --out=scaling

Each number of devices trains in processes of its own: a tiny ResNet on `RandomViews`,
with the same batch in all. On a CPU the devices share its cores, so that this shows the
cost of the exchange, not a gain. Below it, for `--plan_devices` devices with
`--bandwidth` GB/s each, the bytes that each device sends in a step and the seconds they
take, if nothing is hidden behind computation. A ring sends (N-1)/N of what is gathered,
and twice that of what is summed.

- Projections are gathered, and their gradients scattered back: 2 B·V·D numbers at the
  price of a gathering, so that any loss is exact. In feature space, `pairing="mean"`
  could instead sum D x D correlations, D² numbers at the price of a sum, and nothing on
  the way back: less where D < B·V. That is not built; the table shows what it saves.
- Gradients: as many numbers as the network has weights, summed.
- Batch normalisation: two means forward, two backward, of each channel, summed.
"""

import json
import pathlib
import subprocess
import sys
import time

import keras
import numpy as np
from absl import app
from absl import flags

import keras_mvssl as mv
from keras_mvssl import distribution
from keras_mvssl.training import results as records

DEVICES = flags.DEFINE_list(
    "devices", ["1", "2", "4"], "Numbers of devices to measure."
)
BATCH = flags.DEFINE_integer("batch_size", 256, "Images B in a batch of all devices.")
VIEWS = flags.DEFINE_integer("views", 4, "Views V.")
DIM = flags.DEFINE_integer("projector_dim", 256, "Features D of the projector.")
STEPS = flags.DEFINE_integer("steps", 8, "Steps to time, after two.")
PLAN_DEVICES = flags.DEFINE_integer("plan_devices", 256, "Devices of the plan.")
PLAN_BATCH = flags.DEFINE_integer("plan_batch_size", 4096, "B of the plan.")
BANDWIDTH = flags.DEFINE_float(
    "bandwidth", 25.0, "GB/s that a device sends, in the plan."
)
OUT = flags.DEFINE_string("out", None, "Path for results, without .json.")
CHILD = flags.DEFINE_integer("child", None, "Measures this many devices; for itself.")

BYTES = 4  # of a float32


def measure(devices):
    """Trains on some devices and prints views per second, in the first process."""
    distribution.data_parallel(devices)
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
    if distribution.is_chief():
        rate = STEPS.value * BATCH.value * VIEWS.value / seconds
        sent = exchanged(model, devices, BATCH.value)
        row = {"devices": devices, "views_per_second": round(rate, 1), **sent}
        print(f"row {json.dumps(row)}", flush=True)


def exchanged(model, devices, batch_size):
    """Bytes that each of some devices sends in a step of a model."""
    ring = (devices - 1) / devices * BYTES
    dim = model.projector.output_shape[-1]
    channels = sum(
        layer.moving_mean.shape[0]
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    weights = sum(int(np.prod(w.shape)) for w in model.trainable_variables)
    return {
        "projections": round(ring * 2 * batch_size * VIEWS.value * dim),
        "correlations instead": round(2 * ring * dim**2),
        "gradients": round(2 * ring * weights),
        "batch normalisation": round(2 * ring * 4 * channels),
    }


def plan():
    """What `--plan_devices` devices would send with networks and projectors of use."""
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
            kept = [
                size for name, size in sent.items() if name != "correlations instead"
            ]
            row["seconds"] = round(sum(kept) / (BANDWIDTH.value * 1e9), 5)
            rows.append(row)
    return rows


def show(rows):
    for row in rows:
        cells = (
            f"{name} {value / 1e6:,.1f} MB"
            if isinstance(value, int) and name not in ("devices", "projector_dim")
            else f"{name} {value}"
            for name, value in row.items()
        )
        print(", ".join(cells), flush=True)


def main(argv):
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
            **records.provenance(),
            "device": distribution.device_name(),
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
        records.write_json(pathlib.Path(f"{OUT.value}.json"), result)


if __name__ == "__main__":
    app.run(main)
