"""The share of a run's time that its checkpoints take.

    python recipes/benchmarks/checkpoints.py --backbone=tiny --out=checkpoints

Trains on shapes, with the checkpoints that a recipe makes by default, and with one
every `--steps` steps. The run is all of `training.fit`, without probes. (There is a
checkpoint at the start and at the end in any case: the shorter a run, the higher their
share.)
"""

import pathlib
import tempfile
import time

import keras
from absl import app
from absl import flags

import keras_mvssl as mv
from keras_mvssl import training
from keras_mvssl.training import results as records
from keras_mvssl.training.recipe import BACKBONES

BACKBONE = flags.DEFINE_enum("backbone", "tiny", sorted(BACKBONES), "Encoder.")
EPOCHS = flags.DEFINE_integer("epochs", 4, "Epochs.")
STEPS_PER_EPOCH = flags.DEFINE_integer("steps_per_epoch", 78, "Steps of an epoch.")
BATCH = flags.DEFINE_integer("batch_size", 128, "Images in a batch.")
VIEWS = flags.DEFINE_integer("views", 4, "Views.")
STEPS = flags.DEFINE_integer("steps", 10, "Steps between the more frequent ones.")
OUT = flags.DEFINE_string("out", None, "Path for results, without .json.")


class Saves(mv.callbacks.Checkpoint):
    """Adds up what saving takes."""

    seconds, count = 0.0, 0

    def _save(self):
        start = time.perf_counter()
        super()._save()
        self.seconds += time.perf_counter() - start
        self.count += 1


def measure(images, folder, steps):
    keras.utils.set_random_seed(0)
    encoder = BACKBONES[BACKBONE.value](images.shape[1:])
    projector = mv.models.Projector(encoder.output_shape[-1], 128)
    views = mv.views.RandomViews(mv.views.Augmentation.preset("shapes"), VIEWS.value)
    model = mv.MultiViewModel(encoder, projector, views)
    model.compile(keras.optimizers.AdamW(1e-3))
    model.optimizer.build(model.trainable_variables)
    checkpoint = Saves(folder, steps=steps)
    start = time.perf_counter()
    training.fit(
        model,
        lambda step: mv.data.batches(images, BATCH.value, start_step=step),
        EPOCHS.value,
        STEPS_PER_EPOCH.value,
        checkpoint,
        verbose=0,
    )
    seconds = time.perf_counter() - start
    size = sum(p.stat().st_size for p in checkpoint.folder.latest().iterdir())
    row = {
        "every": "default" if steps is None else f"{steps} steps",
        "checkpoints": checkpoint.count,
        "megabytes": round(size / 1e6, 1),
        "seconds_each": round(checkpoint.seconds / checkpoint.count, 3),
        "seconds_of_run": round(seconds, 1),
        "share": round(checkpoint.seconds / seconds, 4),
    }
    print("  ".join(f"{name} {value}" for name, value in row.items()))
    return row


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"These are not flags: {argv[1:]}")
    images = mv.data.load("shapes").pretrain
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measure(images, pathlib.Path(folder) / str(steps), steps)
            for steps in (None, STEPS.value)
        ]
    if OUT.value:
        found = {
            "backbone": BACKBONE.value,
            "views": VIEWS.value,
            "batch_size": BATCH.value,
            "steps": EPOCHS.value * STEPS_PER_EPOCH.value,
            "rows": rows,
            **records.provenance(),
        }
        records.write_json(pathlib.Path(f"{OUT.value}.json"), found)


if __name__ == "__main__":
    app.run(main)
