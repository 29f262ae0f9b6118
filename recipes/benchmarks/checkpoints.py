"""Share of the time of a run that its checkpoints take.

    python recipes/benchmarks/checkpoints.py --backbone=tiny --out=checkpoints

The script trains on shapes, with the checkpoints that a recipe makes by default, and
with a checkpoint every `--steps` steps. The time of the run is the time of
`training.fit`, without probes. (There is a checkpoint at the start and at the end in
any case: the shorter a run, the higher the share of its checkpoints.)
"""

import pathlib
import tempfile
import time

import keras
from absl import app
from absl import flags

import keras_mvssl as mv

ENCODERS = {
    "resnet18": mv.models.ResNet18,
    "resnet50": mv.models.ResNet50,
    "tiny": mv.models.TinyResNet,
}
BACKBONE = flags.DEFINE_enum("backbone", "tiny", list(ENCODERS), "Encoder.")
EPOCHS = flags.DEFINE_integer("epochs", 4, "Epochs.")
STEPS_PER_EPOCH = flags.DEFINE_integer("steps_per_epoch", 78, "Steps of an epoch.")
BATCH = flags.DEFINE_integer("batch_size", 128, "Images in a batch.")
VIEWS = flags.DEFINE_integer("views", 4, "Views.")
STEPS = flags.DEFINE_integer("steps", 10, "Steps between the frequent checkpoints.")
OUT = flags.DEFINE_string("out", None, "Path for results, without .json.")


class TimedCheckpoint(mv.callbacks.Checkpoint):
    """Checkpoint that adds up the time of its saving.

    Args:
        path: Folder of the checkpoints.
        steps: Steps between further checkpoints, or None.

    Attributes:
        seconds: Seconds that saving took so far.
        sizes: Bytes of each checkpoint so far, `{name: bytes}`.
    """

    def __init__(self, path, steps):
        super().__init__(path, steps=steps)
        self.path, self.seconds, self.sizes = path, 0.0, {}

    def on_train_begin(self, logs=None):
        self._time(super().on_train_begin, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._time(super().on_train_batch_end, batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self._time(super().on_epoch_end, epoch, logs)

    def _time(self, function, *arguments):
        start = time.perf_counter()
        function(*arguments)
        seconds = time.perf_counter() - start
        new = [p for p in self.path.glob("step-*") if p.name not in self.sizes]
        for folder in new:
            self.sizes[folder.name] = sum(p.stat().st_size for p in folder.iterdir())
            self.seconds += seconds


def measure(images, folder, steps):
    """Train with checkpoints every so many steps, and return a row of results."""
    keras.utils.set_random_seed(0)
    encoder = ENCODERS[BACKBONE.value](images.shape[1:])
    projector = mv.models.Projector(encoder.output_shape[-1], 128)
    views = mv.views.RandomViews(mv.views.Augmentation.preset("shapes"), VIEWS.value)
    model = mv.MultiViewModel(encoder, projector, views)
    model.compile(keras.optimizers.AdamW(1e-3))
    model.optimizer.build(model.trainable_variables)
    checkpoint = TimedCheckpoint(folder, steps)
    start = time.perf_counter()
    mv.training.fit(
        model,
        lambda step: mv.data.batches(images, BATCH.value, start_step=step),
        EPOCHS.value,
        STEPS_PER_EPOCH.value,
        checkpoint,
        verbose=0,
    )
    seconds = time.perf_counter() - start
    count, last = len(checkpoint.sizes), max(checkpoint.sizes)
    row = {
        "every": "default" if steps is None else f"{steps} steps",
        "checkpoints": count,
        "megabytes": round(checkpoint.sizes[last] / 1e6, 1),
        "seconds_each": round(checkpoint.seconds / count, 3),
        "seconds_of_run": round(seconds, 1),
        "share": round(checkpoint.seconds / seconds, 4),
    }
    print("  ".join(f"{name} {value}" for name, value in row.items()))
    return row


def main(argv):
    """Measure both kinds of checkpoints, and print and write the results."""
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
            **mv.training.provenance(),
        }
        mv.training.write_json(f"{OUT.value}.json", found)


if __name__ == "__main__":
    app.run(main)
