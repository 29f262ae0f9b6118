"""Draws the picture of the idea that the README begins with.

    python recipes/results/idea.py

The image and its views are real ones; the colours of the features are made up. The
background is transparent, and the colours suit light and dark pages.
"""

import pathlib

import matplotlib
import numpy as np
from keras import ops
from matplotlib import patches
from matplotlib import pyplot as plt

import keras_mvssl as mv

matplotlib.use("Agg")

PATH = pathlib.Path(__file__).with_name("idea.png")
VIEWS, FEATURES = 4, 6
GRAY, BLUE, ORANGE = "#7d8590", "#3f72d8", "#d97b29"
ROWS = np.linspace(3.05, 0.35, VIEWS)  # heights of the centres of the views
MIDDLE = ROWS.mean()


def image_and_views(place=11, seed=5):
    """Return an image of a shape, and its views by `RandomViews`, as uint8."""
    image = mv.data.shapes.draw(place + 1, seed=0)[0][place]
    layer = mv.views.RandomViews(mv.views.Augmentation.preset("shapes"), VIEWS, seed)
    views = ops.convert_to_numpy(layer(image[None], step=0))[0]
    return image, np.clip(views, 0, 255).astype("uint8")


def draw(path=PATH):
    figure = plt.figure(figsize=(8.6, 3.2))
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, 10.75), ylim=(-0.35, 3.65))
    axis.set_axis_off()
    axis.set_aspect("equal")
    image, views = image_and_views()
    _picture(axis, image, 0.75, MIDDLE, 1.1)
    for view, y in zip(views, ROWS):
        _arrow(axis, (1.4, MIDDLE + 0.3 * (y - MIDDLE)), (2.2, y))
        _picture(axis, view, 2.65, y, 0.75)
        _arrow(axis, (3.1, y), (3.6, y))
    _network(axis, 3.75, 5.1, 1.7, 1.05, BLUE, "encoder", "yours to keep")
    _network(axis, 5.5, 6.5, 1.0, 0.6, ORANGE, "projector", "for training")
    _arrow(axis, (5.18, MIDDLE), (5.42, MIDDLE))
    rng = np.random.default_rng(3)
    features = rng.uniform(0.1, 0.9, FEATURES) + rng.normal(0, 0.1, (VIEWS, FEATURES))
    for row, y in zip(features, ROWS):
        _arrow(axis, (6.55, MIDDLE + 0.35 * (y - MIDDLE)), (6.95, y))
        _features(axis, row, 7.0, y)
        _arrow(axis, (8.15, y), (8.75, MIDDLE + 0.12 * (y - MIDDLE)), both=True)
    _features(axis, features.mean(axis=0), 8.85, MIDDLE, edge=ORANGE)
    for x, text in ((0.75, "image"), (2.65, "V views"), (7.55, "D features of each")):
        axis.text(x, -0.27, text, color=GRAY, ha="center", fontsize=9.5)
    axis.text(9.4, MIDDLE + 0.3, "mean view", color=ORANGE, ha="center", fontsize=9.5)
    loss = "loss: each view agrees with\nthe mean view, and features\n"
    loss += "do not repeat each other"
    style = {"color": GRAY, "ha": "center", "va": "top", "fontsize": 8}
    axis.text(9.66, MIDDLE - 0.92, loss, **style)
    figure.savefig(path, dpi=200, transparent=True)
    plt.close(figure)


def _picture(axis, pixels, x, y, side):
    extent = (x - side / 2, x + side / 2, y - side / 2, y + side / 2)
    axis.imshow(pixels, extent=extent, interpolation="nearest", zorder=2)
    corner = (extent[0], extent[2])
    frame = patches.Rectangle(corner, side, side, fill=False, ec=GRAY, lw=1, zorder=3)
    axis.add_patch(frame)


def _network(axis, left, right, tall, low, color, name, fate):
    corners = [(left, tall), (right, low), (right, -low), (left, -tall)]
    corners = [(x, MIDDLE + y) for x, y in corners]
    axis.add_patch(patches.Polygon(corners, color=color, joinstyle="round", lw=3))
    style = {"color": "white", "ha": "center"}
    axis.text((left + right) / 2, MIDDLE + 0.05, name, fontsize=10, **style)
    axis.text((left + right) / 2, MIDDLE - 0.2, fate, fontsize=7, **style)


def _features(axis, values, x, y, edge=GRAY):
    side = 0.18
    for i, value in enumerate(values):
        color = plt.cm.viridis(value)
        corner = (x + i * side, y - side / 2)
        axis.add_patch(patches.Rectangle(corner, side, side, fc=color, ec=edge, lw=1))


def _arrow(axis, start, end, both=False):
    style = "<->" if both else "->"
    line = {"arrowstyle": style, "color": GRAY, "lw": 1.1, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=line)


if __name__ == "__main__":
    draw()
