"""Principal angles between learned features and the augmentation kernel's functions.

    python recipes/studies/augmentation_kernel.py

Images are points of a small plane, and the views of an image are the point itself and
some points near it. The kernel (eq. 3 of the paper: how much more often than by chance
two views come from one image) and its eigenfunctions can then be computed exactly.
Features are free: a table with a row for each view, trained by Keras on all views of
all images at once. Theorem 3.1 says that they span the same space as the top
eigenfunctions. The study measures the principal angles between the two spaces over
training, for each objective: the reformulated loss finds the space itself (0.001 rad);
Barlow Twins (0.06 rad with the mean view, 0.16 with all pairs) and VICReg (0.24) come
near it.

The script writes a picture and a table, in about 2 minutes on two CPU cores with
TensorFlow.
"""

import csv
import pathlib

import keras
import matplotlib
import numpy as np
from absl import app
from absl import flags
from common.graph import IMAGES
from common.graph import VIEWS
from common.graph import augmentation_graph
from common.graph import augmentation_kernel

from keras_mvssl.losses import BarlowTwins
from keras_mvssl.losses import ReformulatedSSL
from keras_mvssl.losses import VICReg

matplotlib.use("Agg")
from matplotlib import pyplot as plt

OUT = flags.DEFINE_string(
    "out", "runs/augmentation_kernel", "Path for results, without .png and .csv."
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of points, views and features.")

STEPS = 3000
LOG_INTERVAL = 50  # steps between measurements
OBJECTIVES = {
    "Reformulated, β = 2": ReformulatedSSL(2.0),
    "Barlow Twins (mean), β = 1": BarlowTwins(1.0),
    "Barlow Twins (all), β = 1": BarlowTwins(1.0, pairing="all"),
    "VICReg": VICReg(),
}


def principal_angles(f, g, p):
    """Compute the angles, in radians, between the spans of two sets of functions.

    Args:
        f: Functions on the views, `(N, functions)`.
        g: Other functions, `(N, functions)`.
        p: Probability of each view, `(N,)`.
    """
    bases = []
    for functions in (f, g):
        functions = functions - p @ functions
        bases.append(np.linalg.qr(np.sqrt(p)[:, None] * functions)[0])
    cosines = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    return np.arccos(np.clip(cosines, -1, 1))


class Angles(keras.callbacks.Callback):
    """Callback that measures the principal angles to the exact eigenfunctions.

    Args:
        exact: The eigenfunctions.
        p: Probability of each view.

    Attributes:
        trace: Rows `(step, angle, ...)`, one for each epoch of `LOG_INTERVAL` steps.
    """

    def __init__(self, exact, p):
        super().__init__()
        self.exact, self.p = exact, p
        self.trace = []

    def on_epoch_end(self, epoch, logs=None):
        table = np.asarray(self.model.layers[0].get_weights()[0])
        angles = principal_angles(table, self.exact, self.p)
        self.trace.append(((epoch + 1) * LOG_INTERVAL, *angles))


def learn(loss, graph, dim, callback):
    """Train features `(N, dim)` by gradient descent."""
    keras.utils.set_random_seed(SEED.value)
    model = keras.Sequential(
        [keras.Input((VIEWS,), dtype="int32"), keras.layers.Embedding(IMAGES, dim)]
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.03, STEPS)
    model.compile(keras.optimizers.Adam(schedule), loss)
    batches = np.tile(graph, (LOG_INTERVAL, 1))  # the same at every step
    model.fit(
        batches,
        batches,  # Keras wants targets; the losses ignore them.
        batch_size=len(graph),
        epochs=STEPS // LOG_INTERVAL,
        shuffle=False,
        verbose=0,
        callbacks=[callback],
    )
    return np.asarray(model.layers[0].get_weights()[0])


def aligned(learned, exact, p):
    """Turn learned features to the basis of their span nearest to the exact ones."""
    learned = learned - p @ learned
    basis = np.linalg.qr(np.sqrt(p)[:, None] * learned)[0]
    u, _, v = np.linalg.svd(basis.T @ (np.sqrt(p)[:, None] * exact))
    return basis @ u @ v / np.sqrt(p)[:, None]


def main(argv):
    """Train with each objective, and write the picture and the table."""
    del argv
    places, graph = augmentation_graph(np.random.default_rng(SEED.value))
    kernel, values, functions, p = augmentation_kernel(graph)
    gaps = values[2:6] - values[3:7]
    dim = 2 + int(np.argmax(gaps))
    exact = functions[:, 1 : dim + 1]  # The first is constant.
    print(f"{dim} features; eigenvalues {np.round(values[1 : dim + 2], 3)}, gap after")

    rows, learned, traces = [], {}, {}
    for name, loss in OBJECTIVES.items():
        callback = Angles(exact, p)
        features = learn(loss, graph, dim, callback)
        learned[name] = aligned(features, exact, p)
        traces[name] = np.array(callback.trace)
        rows += [(name, *row) for row in callback.trace]
        print(f"{name}: largest angle {callback.trace[-1][-1]:.3f} rad", flush=True)

    path = pathlib.Path(OUT.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["objective", "step", *(f"angle_{i + 1}" for i in range(dim))])
        writer.writerows(
            [f"{x:.6g}" if isinstance(x, float) else x for x in row] for row in rows
        )

    shown = {"Exact": exact, **learned}
    figure = plt.figure(figsize=(2.2 * dim + 4, 1.5 * len(shown)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 0.6 * dim])
    order = np.argsort(places[:, 0])
    axes = left.subplots(2, 1)
    axes[0].imshow(np.log1p(kernel[np.ix_(order, order)]), cmap="magma")
    axes[0].set(title="Kernel (log), images from left to right", xticks=[], yticks=[])
    for name, trace in traces.items():
        axes[1].semilogy(trace[:, 0], trace[:, -1], label=name)
    axes[1].set(xlabel="step", ylabel="rad", title="Largest principal angle")
    axes[1].legend(fontsize=7)
    grid = right.subplots(len(shown), dim, squeeze=False)
    for line, (name, functions) in enumerate(shown.items()):
        for index in range(dim):
            axis = grid[line, index]
            axis.scatter(*places.T, c=functions[:, index], cmap="coolwarm", s=14)
            axis.set(xticks=[], yticks=[], aspect="equal")
            if line == 0:
                axis.set_title(f"λ = {values[1 + index]:.2f}", fontsize=9)
        grid[line, 0].set_ylabel(
            name.replace(", ", "\n").replace(" (", "\n("), fontsize=8
        )
    figure.savefig(path.with_suffix(".png"), dpi=110)
    print(f"Written to {path}.png and {path}.csv")


if __name__ == "__main__":
    app.run(main)
