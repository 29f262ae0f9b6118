"""Share of a training step that drawing the random numbers of views takes.

    python recipes/benchmarks/draws.py --out=draws

The script trains a tiny ResNet on images of random pixels, with views by `RandomViews`,
and times the steps in turn with `RandomViews.draw`, compiled by itself. The fastest
round of each counts. On two CPU cores, the calls with the three backends took 2.3
minutes together.
"""

import pathlib
import time

import keras
import numpy as np
from absl import app
from absl import flags
from keras import ops

import keras_mvssl as mv

BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "Images B of a step.")
VIEWS = flags.DEFINE_list("views", ["2", "8"], "Numbers of views V.")
SIZE = flags.DEFINE_integer("size", 32, "Pixels of images and views.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Timings of each; the fastest counts.")
STEPS = flags.DEFINE_integer("steps", 3, "Training steps of a timing.")
OUT = flags.DEFINE_string("out", None, "Path for results, without .json.")

DRAWS = 50  # Calls of `draw` of a timing.


class EpochTimer(keras.callbacks.Callback):
    """Callback that measures the seconds of the last epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def compiled(function):
    """Return a function that is compiled, where the backend compiles."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    return function


def measure(views):
    """Measure the seconds of a step and of its draws, in a row of results."""
    size, batch = SIZE.value, BATCH_SIZE.value
    shape = size, size, 3
    images = np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype="uint8")
    # All steps of an augmentation are on, so that all draws are used.
    augmentation = mv.views.Augmentation(size=size, blur=0.5, solarize=0.2)
    layer = mv.views.RandomViews(augmentation, views)
    encoder = mv.models.TinyResNet(shape)
    projector = mv.models.Projector(encoder.output_shape[-1], 128)
    model = mv.MultiViewModel(encoder, projector, layer)
    model.compile("adamw")
    timer = EpochTimer()

    def seconds_of_steps():
        stream = mv.data.batches(images, batch)
        model.fit(stream, steps_per_epoch=STEPS.value, verbose=0, callbacks=[timer])
        return timer.seconds / STEPS.value

    draw = compiled(lambda step: layer.draw(step, batch))
    steps = [ops.convert_to_tensor(step, "int32") for step in range(DRAWS)]

    def seconds_of_draws():
        start = time.perf_counter()
        for step in steps:
            drawn = draw(step)
        for value in drawn.values():
            ops.convert_to_numpy(value)  # waits
        return (time.perf_counter() - start) / DRAWS

    best = {"step": np.inf, "draws": np.inf}
    for round_ in range(ROUNDS.value + 1):
        timings = {"step": seconds_of_steps(), "draws": seconds_of_draws()}
        if round_:  # The first round compiles.
            best = {name: min(best[name], took) for name, took in timings.items()}
    share = best["draws"] / best["step"]
    return {"batch_size": batch, "views": views, **best, "share": share}


def main(argv):
    """Measure each number of views, and print and write the rows."""
    del argv
    mv.distribution.keep_freed_memory()
    print(f"{'V':>3}{'step, ms':>12}{'draws, ms':>12}{'share':>9}")
    rows = []
    for views in map(int, VIEWS.value):
        row = measure(views)
        rows.append(row)
        times = f"{1e3 * row['step']:>12.1f}{1e3 * row['draws']:>12.3f}"
        print(f"{views:>3}{times}{row['share']:>9.2%}", flush=True)
    if OUT.value:
        path = pathlib.Path(OUT.value).with_suffix(".json")
        mv.training.write_json(path, {**mv.training.provenance(), "rows": rows})


if __name__ == "__main__":
    app.run(main)
