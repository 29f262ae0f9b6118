"""Views per second of each engine, beside the KerasCV chain as it is usually stacked.

    python recipes/benchmarks/views.py --out=views

Four things make the same kind of views (crop, flip, blur, colour jitter, grayscale) of
the same images: KerasCV's own layers in an unseeded parallel `map`, on images repeated
V times; `KerasCVViews` in `data.multiview`, whose views are reproducible; and
`RandomViews` on the device, on the backend at hand, with and without a blur. All are
timed in turn, one at work at a time, and the fastest round of each counts. Without
TensorFlow and KerasCV, `RandomViews` alone. About 5 minutes on two CPU cores.
"""

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
from keras_mvssl import distribution
from keras_mvssl.training import results as records

matplotlib.use("Agg")
from matplotlib import pyplot as plt

SIZES = flags.DEFINE_list("sizes", ["32", "96", "224"], "Pixels of images and views.")
VIEWS = flags.DEFINE_list("views", ["2", "4", "8"], "Numbers of views V.")
BATCH = flags.DEFINE_integer("batch_size", 256, "Images B at 32 pixels; fewer above.")
ROUNDS = flags.DEFINE_integer("rounds", 4, "Timings of each, of which the best counts.")
SECONDS = flags.DEFINE_float("seconds", 1.5, "Of a timing, at least.")
OUT = flags.DEFINE_string("out", None, "Path for results, without .json and .png.")

NAMES = ("KerasCV stock", "KerasCVViews", "RandomViews", "RandomViews, no blur")


def augmentation(size, blur=0.5):
    return mv.views.Augmentation(size=size, hue=0.1, blur=blur)


def stock_chain(images, views, batch_size):
    """KerasCV's layers one after the other, as its users stack them."""
    tf = distribution.tensorflow_for_data()
    import keras_cv
    from keras_cv import layers

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
    make = mv.views.KerasCVViews(augmentation(images.shape[1]), views)
    return mv.data.multiview(images, make, batch_size)


def on_device(images, views, batch_size, blur=0.5):
    """Views of one batch over and over, compiled where the backend compiles."""
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
    # Waits until they are there.
    return Forever(lambda step: ops.convert_to_numpy(make(step)[0, 0, 0, 0]))


class Forever:
    """What a function makes of 0, 1, 2, ..."""

    def __init__(self, function):
        self.function = function

    def __iter__(self):
        return map(self.function, map(ops.convert_to_tensor, itertools.count()))


def batches_per_second(batches, seconds):
    """The rate at which batches come once the stream of them runs steadily.

    It ends here: what a pipeline prefetches would take the cores from what is timed
    next.
    """
    stream = iter(batches)
    for limit in seconds / 2, seconds:  # First, buffers fill and are used up.
        start, took, count = time.perf_counter(), 0.0, 0
        while took < limit:
            next(stream)
            count += 1
            took = time.perf_counter() - start
    return count / took


def measure(size, views):
    """Views per second of each."""
    batch_size = max(8, BATCH.value * 32 * 32 // size**2)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * batch_size, size, size, 3), dtype="uint8")
    arguments = images, views, batch_size
    ways = {}
    if importlib.util.find_spec("keras_cv"):
        ways["KerasCV stock"] = stock_chain(*arguments)
        ways["KerasCVViews"] = seeded_chain(*arguments)
    ways["RandomViews"] = on_device(*arguments)
    ways["RandomViews, no blur"] = on_device(*arguments, blur=0.0)
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS.value):
        for name, batches in ways.items():
            rate = batches_per_second(batches, SECONDS.value) * batch_size * views
            best[name] = max(best[name], rate)
    return {"size": size, "views": views, "batch_size": batch_size, **best}


def plot(rows, path):
    sizes = sorted({row["size"] for row in rows})
    figure, axes = plt.subplots(
        1, len(sizes), figsize=(4 * len(sizes), 4), layout="constrained", squeeze=False
    )
    for axis, size in zip(axes[0], sizes, strict=True):
        kept = [row for row in rows if row["size"] == size]
        for name in NAMES:
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
    figure.suptitle(
        f"Making views, {keras.backend.backend()} on {distribution.device_name()}"
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def cells(row):
    """Rates, and their ratios to KerasCV's own layers."""
    for name in NAMES:
        text = f"{row[name]:,.0f}" if name in row else "-"
        if NAMES[0] in row:
            text += f" ({row[name] / row[NAMES[0]]:4.1f})"
        yield f"{text:>24}"


def write(rows):
    """What is known so far, where it is wanted."""
    if not OUT.value:
        return
    result = {
        **records.provenance(),
        "device": distribution.device_name(),
        "rows": rows,
    }
    path = pathlib.Path(OUT.value)
    records.write_json(path.with_suffix(".json"), result)
    plot(rows, path.with_suffix(".png"))


def main(argv):
    del argv
    distribution.keep_freed_memory()
    print(f"{'px':>4}{'V':>3}" + "".join(f"{name:>24}" for name in NAMES))
    rows = []
    for size in map(int, SIZES.value):
        for views in map(int, VIEWS.value):
            row = measure(size, views)
            rows.append(row)
            print(f"{size:>4}{views:>3}" + "".join(cells(row)), flush=True)
            write(rows)


if __name__ == "__main__":
    app.run(main)
