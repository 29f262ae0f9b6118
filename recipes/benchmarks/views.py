"""Views per second of each engine, beside the KerasCV chain as it is usually stacked.

    python recipes/benchmarks/views.py --out=views

Four things make the same kind of views (crop, flip, blur, colour jitter, grayscale) of
the same images: KerasCV's own layers in an unseeded parallel `map`, on images repeated
V times; `KerasCVViews` in `data.multiview`, whose views are reproducible; and
`RandomViews` on the device, on the backend at hand, without and with a blur. All are
timed in turn, and the fastest round of each counts. Without TensorFlow and KerasCV,
`RandomViews` alone. About 3 minutes on two CPU cores.
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

import keras_mvssl as mv
from keras_mvssl import distribution
from keras_mvssl import records

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
    return iter(data.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2))


def seeded_chain(images, views, batch_size):
    make = mv.views.KerasCVViews(augmentation(images.shape[1]), views)
    return iter(mv.data.multiview(images, make, batch_size))


def on_device(images, views, batch_size, blur=0.5):
    """Views of one batch after the other, compiled where the backend compiles."""
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
    step = 0
    while True:
        made = make(ops.convert_to_tensor(step))
        # Waits until they are there.
        ops.convert_to_numpy(made[0, 0, 0, 0])
        yield made
        step += 1


def measure(size, views):
    """Views per second of each."""
    batch_size = max(8, BATCH.value * 32 * 32 // size**2)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * batch_size, size, size, 3), dtype="uint8")
    arguments = images, views, batch_size
    streams = {}
    if importlib.util.find_spec("keras_cv"):
        streams["KerasCV stock"] = stock_chain(*arguments)
        streams["KerasCVViews"] = seeded_chain(*arguments)
    streams["RandomViews"] = on_device(*arguments)
    streams["RandomViews, no blur"] = on_device(*arguments, blur=0.0)
    best = dict.fromkeys(streams, 0.0)
    for round_ in range(ROUNDS.value + 1):
        for name, stream in streams.items():
            # What was prefetched while the others ran does not count.
            for _ in range(4):
                next(stream)
            start, count = time.perf_counter(), 0
            while time.perf_counter() - start < SECONDS.value:
                next(stream)
                count += batch_size * views
            if round_:
                rate = count / (time.perf_counter() - start)
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
