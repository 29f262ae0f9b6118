"""
Title: Two engines for views
Author: The keras_mvssl authors
Date created: 2026/11/25
Last modified: 2026/11/25
Description: KerasCV layers in tf.data, or views on the device: seeing them, choosing, speed.
"""

"""
One `Augmentation` says what may happen to a view. Two engines follow it:

- `KerasCVViews` makes views from stacked KerasCV layers inside tf.data, on the CPU, ahead of the
  training step. For images that are streamed and decoded there anyway.
- `RandomViews` is a Keras layer that makes them inside the training step, on the device, on any
  backend and without TensorFlow. For images in memory, fast accelerators, and busy CPUs.
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
## See the views

Look before you train: most failures are views that lost what the image shows, or that changed
nothing. Both engines take a batch of images and a step; the same step gives the same views.
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
During training, `callbacks.ViewGallery(stream, "views.png")` draws the views of the first step.

## Train with either

`KerasCVViews`: the stream holds views, and the model takes them.
"""


def parts():
    encoder = mv.models.TinyResNet((32, 32, 3), width=8)
    return encoder, mv.models.Projector(encoder.output_shape[-1], dim=32)


stream = mv.data.multiview(images, kerascv, batch_size=64)
model = mv.MultiViewModel(*parts())
model.compile(optimizer="adam")
model.fit(stream, epochs=2, callbacks=[mv.callbacks.ViewGallery(stream)], verbose=2)

"""
`RandomViews`: the stream holds images, and the model makes the views.
"""

model = mv.MultiViewModel(*parts(), mv.views.RandomViews(milder, views=4))
model.compile(optimizer="adam")
model.fit(mv.data.batches(images, batch_size=64), epochs=2, verbose=2)

"""
In a recipe: `--augment=kerascv` or `--augment=device`.

## How fast, here

`callbacks.Throughput` logs views per second, and with `stream` the share of time that training
waited for data (`data_wait`): where that is large, the CPU is the bottleneck, and `RandomViews`
or more `workers` help.
"""


def views_per_second(engine, repeats=5):
    ops.convert_to_numpy(engine(images, step=0))  # compiled, or warmed up
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
These are eager calls on a machine that may be busy; `recipes/benchmarks/views.py` measures with
care, and the [README](../README.md#how-fast) has its figures.

## Where they differ

Their views have the same distribution but for: antialiasing when a crop shrinks, hue as a turn
of RGB about the axis of grays instead of a turn of HSV, and clipping once instead of after each
colour step. Means and standard deviations agree within 2 % of the range, but for strong colours
that hue turns far, and probes within the noise of three seeds: the docstring of `recipes/shapes.py`,
where hue is strong, has figures. Neither depends on the number of workers or devices, nor on
whether the run was interrupted: a view is a function of (seed, step, place in the batch, view),
and of the number of views.
"""
