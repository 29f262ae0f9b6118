"""Why one formula learns faster: the noise of its gradient, at equal views.

    python recipes/studies/gradient_noise.py

For both formulas of Barlow Twins (each view with the mean view, all pairs of views) and
2 to 16 views, the script draws many batches and computes the gradient of each. It
compares them with the population gradient, that of very large batches of the same
formula and number of views:

- *noise*: the mean of ‖g - ḡ‖² / ‖ḡ‖² over batches, ḡ their mean, times the views in a
  batch over 128: what is left after as many views, whatever their number in a step;
- *angle*: the angle between the mean gradient ḡ and the population gradient, which
  batches do not average away.

Gradients are taken on the finite augmentation graph of `augmentation_kernel.py`, where
features are a table, and of all weights of a tiny ResNet and its projector on shapes.
Both are measured at the start, and twice on the way of a training by the mean view
with 2 views. Batches have 64 images, as in `formula.py`.
"""

import csv
import pathlib

import keras
import numpy as np
from absl import app
from absl import flags
from common import tables
from common.graph import IMAGES
from common.graph import augmentation_graph

import keras_mvssl as mv
from keras_mvssl import training

OUT = flags.DEFINE_string(
    "out", "runs/gradient_noise", "Path for results, without .csv, .json and .png."
)
BATCHES = flags.DEFINE_integer("batches", 48, "Batches of each size.", 2)
LARGE = flags.DEFINE_integer("large", 8, "Large batches, of 8 times as many images.", 1)
C = {
    "mean": flags.DEFINE_float("c_mean", 4.0, "c of β = c/D for the mean view."),
    "all": flags.DEFINE_float("c_all", 4.0, "c of β = c/D for all pairs."),
}
NUMBERS = (2, 4, 8, 16)
BATCH, DIM, FEATURES = 64, 128, 5
# Steps of the training after which gradients are measured.
STATES = (0, 40, 300)


class Gradients:
    """Gradients of a loss: what one step of gradient descent at rate 1 takes away.

    Args:
        model: A model of views.
        loss: A loss on its projections.
    """

    def __init__(self, model, loss):
        self.model = model
        model.compile(keras.optimizers.SGD(1.0), loss)

    def __call__(self, views):
        """Return the gradient as a vector. The model stays as it is."""
        kept = self.model.get_weights()
        before = self._trainable()
        self.model.train_on_batch(views, views)
        after = self._trainable()
        self.model.set_weights(kept)
        parts = [(a - b).ravel() for a, b in zip(before, after, strict=True)]
        return np.concatenate(parts)

    def _trainable(self):
        weights = self.model.trainable_weights
        return [np.array(keras.ops.convert_to_numpy(w)) for w in weights]


class Graph:
    """Features of a finite augmentation graph, in a table."""

    dim = FEATURES

    def __init__(self):
        self.rng = np.random.default_rng(0)
        _, self.graph = augmentation_graph(self.rng)

    def model(self, views):
        inputs = keras.Input((views,), dtype="int32")
        return keras.Sequential([inputs, keras.layers.Embedding(IMAGES, self.dim)])

    def draw(self, images, views):
        """Draw a batch; images and views may occur more than once."""
        rows = self.graph[self.rng.integers(0, IMAGES, images)]
        columns = self.rng.integers(0, rows.shape[1], (images, views))
        return np.take_along_axis(rows, columns, axis=1)

    optimizer = staticmethod(lambda: keras.optimizers.Adam(0.03))


class Shapes:
    """A tiny ResNet on shapes."""

    dim = DIM

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.splits = mv.data.load("shapes")
        self.augmentation = mv.views.Augmentation.preset("shapes")
        self.step = 0

    def model(self, views):
        encoder = mv.models.TinyResNet(self.splits.image_shape)
        projector = mv.models.Projector(encoder.output_shape[-1], self.dim)
        return mv.MultiViewModel(encoder, projector)

    def draw(self, images, views):
        rows = self.rng.choice(len(self.splits.pretrain), images, replace=False)
        layer = mv.views.RandomViews(self.augmentation, views)
        self.step += 1
        made = layer(self.splits.pretrain[rows], step=self.step)
        return keras.ops.convert_to_numpy(made)

    optimizer = staticmethod(lambda: keras.optimizers.AdamW(16e-3))


def states_of(source):
    """Train by the mean view with 2 views; return the weights at `STATES`."""
    keras.utils.set_random_seed(0)
    model = source.model(2)
    loss = mv.losses.BarlowTwins(C["mean"].value / source.dim)
    model.compile(source.optimizer(), loss)
    found = []
    for step in range(max(STATES) + 1):
        if step in STATES:
            found.append(model.get_weights())
        views = source.draw(BATCH, 2)
        model.train_on_batch(views, views)
    return found


def measure(source, weights, pairing, views):
    """Return the noise and the angle, in degrees, of one formula."""
    model = source.model(views)
    model.set_weights(weights)
    loss = mv.losses.BarlowTwins(C[pairing].value / source.dim, pairing=pairing)
    gradient = Gradients(model, loss)
    small = np.array(
        [gradient(source.draw(BATCH, views)) for _ in range(BATCHES.value)]
    )
    images = 8 * BATCH
    large = np.mean(
        [gradient(source.draw(images, views)) for _ in range(LARGE.value)], axis=0
    )
    mean = small.mean(axis=0)
    spread = ((small - mean) ** 2).sum() / (len(small) - 1)
    # The mean of few batches is longer than that of many, by its own noise.
    length = max((mean**2).sum() - spread / len(small), 1e-30)
    cosine = mean @ large / np.sqrt((large**2).sum() * (mean**2).sum())
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return spread / length * views / 2, angle


def main(argv):
    """Measure both formulas on both sources, and write the table and the picture."""
    del argv
    rows = []
    sources = {"graph": Graph(), "shapes": Shapes()}
    for name, source in sources.items():
        for step, weights in zip(STATES, states_of(source), strict=True):
            for pairing in C:
                for views in NUMBERS:
                    noise, angle = measure(source, weights, pairing, views)
                    rows.append((name, step, pairing, views, noise, angle))
                    print(
                        f"{name}, step {step}, {pairing}, {views} views: "
                        f"noise {noise:.3g}, angle {angle:.1f}",
                        flush=True,
                    )
    path = pathlib.Path(OUT.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tables.write_table(path.with_suffix(".csv")) as file:
        writer = csv.writer(file)
        writer.writerow(("source", "step", "pairing", "views", "noise", "angle"))
        writer.writerows((*row[:4], f"{row[4]:.6g}", f"{row[5]:.6g}") for row in rows)
    content = {"study": "gradient_noise", **training.provenance()}
    training.write_json(path.with_suffix(".json"), content)
    figure = draw(rows, list(sources))
    with tables.replace_file(path.with_suffix(".png")) as unfinished:
        figure.savefig(unfinished, dpi=110)
    print(f"Written to {path}.csv, .json and .png")


def draw(rows, names):
    """Draw the noise against views, for each source and state."""
    shape = len(names), len(STATES)
    figure, axes = tables.plt.subplots(
        *shape, figsize=(10, 5.5), sharex=True, squeeze=False, layout="constrained"
    )
    for line, name in zip(axes, names, strict=True):
        for axis, step in zip(line, STATES, strict=True):
            for pairing, label in (("mean", "mean view"), ("all", "all pairs")):
                found = [row for row in rows if row[:3] == (name, step, pairing)]
                views, noise = ([row[i] for row in found] for i in (3, 4))
                axis.plot(views, noise, "o-", label=label)
            axis.set(xscale="log", yscale="log", title=f"{name}, step {step}")
            axis.set_xticks(NUMBERS, NUMBERS)
            axis.minorticks_off()
        line[0].set_ylabel("noise at equal views")
    for axis in axes[-1]:
        axis.set_xlabel("Views")
    axes[0, 0].legend()
    return figure


if __name__ == "__main__":
    app.run(main)
