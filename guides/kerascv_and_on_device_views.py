"""
Title: Two engines for views
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/29
Description: KerasCV layers in tf.data, or views on the device: seeing them, choosing, speed.
"""

"""
One `Augmentation` describes what may happen to a view. Two engines make views from it:

- `KerasCVViews` makes the views with stacked KerasCV layers inside tf.data, on the CPU, ahead of
  the training step. Use it for images that the CPU streams and decodes anyway.
- `RandomViews` is a Keras layer that makes the views inside the training step, on the device, on
  any backend and without TensorFlow. Use it for images in memory, fast accelerators and busy CPUs.
"""

import dataclasses
import time

import matplotlib.pyplot as plt
import numpy as np
from keras import ops

import keras_mvssl as mv

images, _ = mv.data.shapes.draw(256, seed=0)
augmentation = mv.views.Augmentation.preset("shapes")
milder = dataclasses.replace(augmentation, hue=0.1, crop_area=(0.6, 1.0))

"""
## Look at the views

Look at the views before you train. In most failures the views no longer show what the image shows,
or hardly differ from the image. Both engines take a batch of images and a step; the same step
gives the same views.
"""

kerascv = mv.views.KerasCVViews(augmentation, views=4)
device = mv.views.RandomViews(augmentation, views=4)
made = {
    "KerasCVViews": np.asarray(kerascv(images[:4], step=0)),
    "RandomViews": ops.convert_to_numpy(device(images[:4], step=0)),
}
print({name: (x.shape, x.dtype) for name, x in made.items()})

figure, axes = plt.subplots(4, 9, figsize=(6, 2.9), layout="constrained")
for row in range(4):
    pictures = [images[row], *made["KerasCVViews"][row], *made["RandomViews"][row]]
    for axis, picture in zip(axes[row], pictures):
        axis.imshow(picture.astype("uint8"))
        axis.axis("off")
for column, title in ((0, "image"), (1, "KerasCVViews"), (5, "RandomViews")):
    axes[0, column].set_title(title, fontsize=8, loc="left")
figure.savefig("views.png", dpi=100)

"""
During training, the callback `callbacks.ViewGallery(stream, "views.png")` draws the views of the
first step.

## Train with either engine

With `KerasCVViews`, the stream holds views, and the model takes them.
"""


def parts():
    encoder = mv.models.TinyResNet((32, 32, 3), width=8)
    return encoder, mv.models.Projector(encoder.output_shape[-1], dim=32)


stream = mv.data.multiview(images, kerascv, batch_size=64)
model = mv.MultiViewModel(*parts())
model.compile(optimizer="adam")
model.fit(stream, epochs=2, callbacks=[mv.callbacks.ViewGallery(stream)], verbose=2)

"""
With `RandomViews`, the stream holds images, and the model makes the views.
"""

model = mv.MultiViewModel(*parts(), mv.views.RandomViews(milder, views=4))
model.compile(optimizer="adam")
model.fit(mv.data.batches(images, batch_size=64), epochs=2, verbose=2)

"""
In a recipe, choose the engine with `--augment=kerascv` or `--augment=device`.

## Measure the speed

The callback `callbacks.Throughput` logs views per second. Given a `stream`, it also logs
`data_wait`, the share of the time in which training waited for data. Where `data_wait` is large,
the CPU is the bottleneck; `RandomViews` or more `workers` help.
"""


def views_per_second(engine, repeats=5):
    ops.convert_to_numpy(engine(images, step=0))  # The first call compiles or warms up.
    start = time.perf_counter()
    for step in range(repeats):
        ops.convert_to_numpy(engine(images, step=step))
    return repeats * len(images) * engine.views / (time.perf_counter() - start)


for engine in (kerascv, device):
    print(f"{type(engine).__name__}: {views_per_second(engine):,.0f} views/s")

waits = mv.callbacks.Throughput(views_per_step=64 * 4, stream=stream)
model = mv.MultiViewModel(*parts())
model.compile(optimizer="adam")
history = model.fit(stream, epochs=2, callbacks=[waits], verbose=0)
print(f"Waited for data: {history.history['data_wait'][-1]:.0%}")

"""
This code calls the engines eagerly, on a machine that may be busy. `recipes/benchmarks/views.py`
measures with care; [recipes/benchmarks](../recipes/benchmarks/README.md) has its results.

**Which backend on which hardware.** On a CPU, PyTorch and TensorFlow train at about the speed of a
step that is written by hand in PyTorch, at 0.85 to 1.0 of it per CPU-second, and JAX at 0.6 to 0.8
(by the clock 0.5 to 0.7; [table](../recipes/benchmarks/README.md), two cores with AVX-512). PyTorch
starts at once; TensorFlow and JAX take 5 to 8 seconds to the end of the first step, and in recipes
JAX keeps what it compiles for the next start. On a GPU, JAX is far ahead: on one H100 it
trained a ResNet-18 in bfloat16 on 75,700 views/s, PyTorch on 10,300 (older code). TensorFlow on a
GPU is not yet run.

On CPUs under Linux, PyTorch requests the memory of each step anew from the system. To keep it, call
`mv.distribution.keep_freed_memory()` before you train, and after `data_parallel`, as recipes do.

## Differences between the engines

Both engines draw their parameters from the same distributions. Their views differ in three
respects: `RandomViews` applies antialiasing when a crop shrinks, turns the hue as a rotation of RGB
about the axis of grays instead of a rotation in HSV, and clips once instead of after each colour
step. Means and standard deviations of the views agree within 2 % of the range, except for strong
colours whose hue turns far. Accuracies of probes agree within the noise of three seeds; where hue
is strong, see the figures in the docstring of `recipes/shapes.py`.

With either engine, each view of each image draws its own parameters. The draws are a function of
the seed, the step, the place of the image in the batch, and the number of the view; with
`KerasCVViews`, also of the number of views. Views therefore do not depend on the number of workers
or devices, nor on whether the run was interrupted, and are the same on every backend.
"""
