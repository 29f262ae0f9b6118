"""Views per second of each engine, beside a plain chain of KerasCV layers.

    python recipes/benchmarks/views.py --out=views

Four programs make the same kind of views (crop, flip, blur, colour jitter, grayscale)
of the same images: KerasCV's own layers in an unseeded parallel `map`, on images
repeated V times; `KerasCVViews` in `data.multiview`, whose views are reproducible; and
`RandomViews` on the device, on the backend at hand, with and without a blur. They are
timed in turn, one at work at a time, and the fastest round of each counts. Without
TensorFlow and KerasCV, only `RandomViews` is timed. The script takes about 5 minutes on
two CPU cores.
"""

import contextlib
import importlib.util
import itertools
import pathlib
import time

import keras
import matplotlib
import numpy as np
from absl import app
from absl import flags
from keras import ops

import keras_mvssl as mv

matplotlib.use("Agg")
from matplotlib import pyplot as plt

SIZES = flags.DEFINE_list("sizes", ["32", "96", "224"], "Pixels of images and views.")
VIEWS = flags.DEFINE_list("views", ["2", "4", "8"], "Numbers of views V.")
BATCH = flags.DEFINE_integer(
    "batch_size", 256, "Images B at 32 pixels; fewer at more pixels."
)
ROUNDS = flags.DEFINE_integer(
    "rounds", 4, "Timings of each engine; the fastest counts."
)
SECONDS = flags.DEFINE_float("seconds", 1.5, "Seconds that a timing takes at least.")
OUT = flags.DEFINE_string("out", None, "Path for results, without .json and .png.")

# Columns of the table: engines. The first is the one that others are compared with.
COLUMNS = ("KerasCV stock", "KerasCVViews", "RandomViews", "RandomViews, no blur")


def augmentation(size, blur=0.5):
    """Return the augmentation of all engines."""
    return mv.views.Augmentation(size=size, hue=0.1, blur=blur)


def stock_chain(images, views, batch_size):
    """Return a stream of views by KerasCV's layers, as users of KerasCV stack them."""
    import keras_cv
    import tensorflow as tf
    from keras_cv import layers

    if keras.backend.backend() != "tensorflow":
        # TensorFlow must not take the memory of a GPU that another backend uses. The
        # call fails where TensorFlow has started its devices already.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    a = augmentation(images.shape[1])
    jitter = layers.RandomColorJitter(
        value_range=(0, 255),
        brightness_factor=a.brightness,
        contrast_factor=a.contrast,
        saturation_factor=(0.4, 0.6),
        hue_factor=2 * a.hue,
    )
    blur = layers.RandomGaussianBlur(13, keras_cv.core.UniformFactorSampler(0.1, 2.0))
    chain = [
        layers.RandomCropAndResize(a.size, a.crop_area, a.crop_aspect),
        layers.RandomFlip(),
        layers.RandomApply(blur, rate=a.blur, batchwise=False),
        layers.RandomApply(jitter, rate=a.jitter),
        layers.RandomApply(layers.Grayscale(output_channels=3), rate=a.grayscale),
    ]

    def augment(batch):
        x = tf.repeat(tf.cast(batch, tf.float32), views, axis=0)
        for layer in chain:
            x = layer(x, training=True)
        return tf.reshape(x, (batch_size, views, *x.shape[1:]))

    data = tf.data.Dataset.from_tensor_slices(images).repeat()
    data = data.batch(batch_size, drop_remainder=True)
    return data.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def seeded_chain(images, views, batch_size):
    """Return a stream of views by `KerasCVViews`."""
    make = mv.views.KerasCVViews(augmentation(images.shape[1]), views)
    return mv.data.multiview(images, make, batch_size)


def on_device(images, views, batch_size, blur=0.5):
    """Return a stream of views by `RandomViews`, compiled where the backend compiles.

    All batches are views of the same images.
    """
    layer = mv.views.RandomViews(augmentation(images.shape[1], blur), views)
    pixels = ops.convert_to_tensor(images[:batch_size])

    def make(step):
        return layer(pixels, step=step)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        make = tf.function(make)
    elif keras.backend.backend() == "jax":
        import jax

        make = jax.jit(make)
    # A pixel in main memory comes when the views are made.
    return StepStream(lambda step: ops.convert_to_numpy(make(step)[0, 0, 0, 0]))


class StepStream:
    """Endless stream of the values of a function at 0, 1, 2, ...

    Args:
        function: Function of a step, an int tensor.
    """

    def __init__(self, function):
        self.function = function

    def __iter__(self):
        return map(self.function, map(ops.convert_to_tensor, itertools.count()))


def batches_per_second(batches, seconds):
    """Measure the rate at which batches come once their stream runs steadily.

    The stream ends with this function. A pipeline that went on would prefetch, and take
    the cores from the engine that is timed next.
    """
    stream = iter(batches)
    for limit in seconds / 2, seconds:  # In the first half, buffers fill.
        start, took, count = time.perf_counter(), 0.0, 0
        while took < limit:
            next(stream)
            count += 1
            took = time.perf_counter() - start
    return count / took


def measure(size, views):
    """Measure the views per second of each engine, in a row of results."""
    batch_size = max(8, BATCH.value * 32 * 32 // size**2)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * batch_size, size, size, 3), dtype="uint8")
    arguments = images, views, batch_size
    engines = {}
    if importlib.util.find_spec("keras_cv"):
        engines["KerasCV stock"] = stock_chain(*arguments)
        engines["KerasCVViews"] = seeded_chain(*arguments)
    engines["RandomViews"] = on_device(*arguments)
    engines["RandomViews, no blur"] = on_device(*arguments, blur=0.0)
    best = dict.fromkeys(engines, 0.0)
    for _ in range(ROUNDS.value):
        for name, batches in engines.items():
            rate = batches_per_second(batches, SECONDS.value) * batch_size * views
            best[name] = max(best[name], rate)
    return {"size": size, "views": views, "batch_size": batch_size, **best}


def plot(rows, path):
    """Draw views per second against views, for each size."""
    sizes = sorted({row["size"] for row in rows})
    figure, axes = plt.subplots(
        1, len(sizes), figsize=(4 * len(sizes), 4), layout="constrained", squeeze=False
    )
    for axis, size in zip(axes[0], sizes, strict=True):
        kept = [row for row in rows if row["size"] == size]
        for name in COLUMNS:
            if name not in kept[0]:
                continue
            axis.plot(
                [row["views"] for row in kept],
                [row[name] for row in kept],
                marker="o",
                label=name,
            )
        axis.set(title=f"{size} px", xlabel="views V", ylabel="views / s", yscale="log")
        axis.set_xticks([row["views"] for row in kept])
        axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8)
    device = mv.training.provenance()["device"]
    figure.suptitle(f"Making views, {keras.backend.backend()} on {device}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def cells(row):
    """Yield rates, and their ratios to KerasCV's own layers, as text."""
    for name in COLUMNS:
        text = f"{row[name]:,.0f}" if name in row else "-"
        if COLUMNS[0] in row:
            text += f" ({row[name] / row[COLUMNS[0]]:4.1f})"
        yield f"{text:>24}"


def write(rows):
    """Write the rows so far, where `--out` is given."""
    if not OUT.value:
        return
    result = {**mv.training.provenance(), "rows": rows}
    path = pathlib.Path(OUT.value)
    mv.training.write_json(path.with_suffix(".json"), result)
    plot(rows, path.with_suffix(".png"))


def main(argv):
    """Measure all rows, and print and write them as they come."""
    del argv
    mv.distribution.keep_freed_memory()
    print(f"{'px':>4}{'V':>3}" + "".join(f"{name:>24}" for name in COLUMNS))
    rows = []
    for size in map(int, SIZES.value):
        for views in map(int, VIEWS.value):
            row = measure(size, views)
            rows.append(row)
            print(f"{size:>4}{views:>3}" + "".join(cells(row)), flush=True)
            write(rows)


if __name__ == "__main__":
    app.run(main)
