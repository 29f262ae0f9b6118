"""Dynamics of features that are learned, at weak and at strong orthogonality.

    python recipes/studies/feature_dynamics.py

Four clouds of points in the plane differ much along one axis and less along another; a
view of a point is the point plus noise. Two features are learned, at a small and at a
large β. At the small β, both turn to the first axis and stay there for long: the second
singular value of the features stays small, in the linear network at zero. At the large
β the two features part at once.

The linear network follows the paper's Theorem 3.2: gradient descent on
Σₚ (Cₚₚ - 1)² + β Σ_{p≠q} Cₚq² with C = W T Wᵀ, T the covariance between two views. On
the plateau where both features are the first, the second grows as exp(r t) with
r = 8 η β λ₂ / (1 + β), so that the time to it is proportional to (1 + β) / (β λ₂).
The other network has a hidden layer and is trained by Keras with `losses.BarlowTwins`.

The script writes a picture and two tables: singular values over training, and times to
the second feature against the prediction. It takes 28 seconds on two CPU cores with
TensorFlow.
"""

import csv
import pathlib

import keras
import matplotlib
import numpy as np
from absl import app
from absl import flags

from keras_mvssl.losses import BarlowTwins

matplotlib.use("Agg")
from matplotlib import pyplot as plt

OUT = flags.DEFINE_string(
    "out", "runs/feature_dynamics", "Path for results, without .png and .csv."
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of points, noise and weights.")

POINTS, NOISE, VIEWS = 2000, 0.1, 4
LEARNING_RATE = 0.02  # η, of the linear network
BETAS = {"linear": (0.005, 0.5), "hidden layer": (0.0, 1.0)}


def clouds(rng, second=0.5, turn=np.pi / 6):
    """Draw points in four clouds, and return them with the cloud of each.

    Args:
        rng: `numpy.random.Generator`.
        second: The clouds lie at (±1, ±second).
        turn: Angle, in radians, by which the plane is turned.
    """
    cloud = rng.integers(0, 4, POINTS)
    centres = np.array([(x, y * second) for x in (-1, 1) for y in (-1, 1)])
    points = centres[cloud] + 0.08 * rng.normal(size=(POINTS, 2))
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return points @ axes, cloud


def between_views(points, rng):
    """Compute the symmetrised covariance T of two views."""
    a, b = (points + NOISE * rng.normal(size=points.shape) for _ in range(2))
    product = a.T @ b / len(points)
    return (product + product.T) / 2


def train_linear(covariance, beta, steps, rng, scale=0.01):
    """Train the linear network.

    Args:
        covariance: T, `(2, 2)`.
        beta: β.
        steps: Steps of gradient descent.
        rng: Generator of the initial weights.
        scale: Standard deviation of the initial weights.

    Returns:
        The weights `(2, 2)` at the end, and the singular values of the features before
        each step, `(steps, 2)`.
    """
    values, axes = np.linalg.eigh(covariance)
    root = axes * np.sqrt(values)
    weights = scale * rng.normal(size=(2, 2))
    trace = np.empty((steps, 2))
    for step in range(steps):
        trace[step] = np.linalg.svd(weights @ root, compute_uv=False)
        c = weights @ covariance @ weights.T
        pull = np.diag(np.diag(c) - 1) + beta * (c - np.diag(np.diag(c)))
        weights = weights - 4 * LEARNING_RATE * pull @ weights @ covariance
    return weights, trace


def time_to_second(covariance, beta, rng):
    """Measure how long the linear network takes to learn the second feature.

    Returns:
        Steps from the plateau to the second feature, the theorem's r, and the
        logarithm of the factor by which the second singular value grows.
    """
    second = np.linalg.eigvalsh(covariance)[0]
    rate = 8 * LEARNING_RATE * beta * second / (1 + beta)
    _, trace = train_linear(covariance, beta, int(20 / rate) + 2000, rng, 1e-5)
    # First singular value on the plateau, where both features are the first.
    first = np.sqrt(2 / (1 + beta))
    start = np.argmax(trace[:, 0] > 0.99 * first)
    there = np.argmax(trace[:, 1] > 0.1)
    return there - start, rate, np.log(0.1 / trace[start, 1])


class SingularValues(keras.callbacks.Callback):
    """Callback that measures the singular values of features after every batch.

    Features are those of clean points, standardised.

    Args:
        points: `(N, 2)`.

    Attributes:
        trace: Two singular values for each batch, and before the first.
    """

    def __init__(self, points):
        super().__init__()
        self.points = np.repeat(points[:, None], VIEWS, axis=1).astype("float32")
        self.trace = []

    def features(self):
        z = np.asarray(self.model.predict_on_batch(self.points))[:, 0]
        z = z - z.mean(axis=0)
        return z / np.sqrt((z**2).mean(axis=0) + 1e-5)

    def on_train_begin(self, logs=None):
        self.on_train_batch_end(0)

    def on_train_batch_end(self, batch, logs=None):
        z = self.features()
        self.trace.append(np.linalg.svd(z, compute_uv=False) / np.sqrt(len(z)))


def train_hidden(points, beta, rng, steps=400):
    """Train a small network: its features, and their singular values over training."""
    noise = NOISE * rng.normal(size=(steps, len(points), VIEWS, 2))
    views = (points[:, None] + noise).reshape(-1, VIEWS, 2).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((VIEWS, 2)),
            keras.layers.Dense(32, activation="tanh"),
            keras.layers.Dense(2),
        ]
    )
    # Keras' own initial weights would differ from backend to backend.
    start = np.random.default_rng(SEED.value)
    model.set_weights(
        [
            start.normal(0, w.shape[0] ** -0.5, w.shape) * (w.ndim > 1)
            for w in model.weights
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), BarlowTwins(beta))
    callback = SingularValues(points)
    model.fit(
        views,
        views,  # Keras wants targets; the loss ignores them.
        batch_size=len(points),
        shuffle=False,
        verbose=0,
        callbacks=[callback],
    )
    return callback.features(), np.array(callback.trace)


def scatter(axis, points, cloud, title):
    """Draw points in the colors of their clouds."""
    axis.scatter(*points.T, c=cloud, cmap="tab10", vmax=9, s=3)
    axis.set(title=title, xticks=[], yticks=[], aspect="equal")


def main(argv):
    """Train both networks, and write the picture and the tables."""
    del argv
    rng = np.random.default_rng(SEED.value)
    points, cloud = clouds(rng)
    covariance = between_views(points, rng)
    figure, axes = plt.subplots(2, 4, figsize=(13, 6.4), layout="constrained")
    scatter(axes[0, 0], points, cloud, "Inputs")
    rows = []
    for line, (network, betas) in enumerate(BETAS.items()):
        for column, beta in enumerate(betas):
            print(f"Training the network ({network}) at β = {beta}", flush=True)
            if network == "linear":
                start = np.random.default_rng(SEED.value)
                weights, trace = train_linear(covariance, beta, 4000, start)
                features = points @ weights.T
            else:
                start = np.random.default_rng(SEED.value)
                features, trace = train_hidden(points, beta, start)
            title = f"Features ({network}), β = {beta}"
            scatter(axes[line, 1 + column], features, cloud, title)
            for index, style in enumerate(("-", "--")):
                label = f"β = {beta}, {('first', 'second')[index]}"
                axes[line, 3].plot(
                    trace[:, index], style, color=f"C{column}", label=label
                )
            rows += [
                (network, beta, step, *values) for step, values in enumerate(trace)
            ]
        axes[line, 3].set(title=f"Singular values ({network})", xlabel="step")
        axes[line, 3].legend(fontsize=8)

    print("Timing the second feature of the linear network", flush=True)
    times = []
    for second in (0.35, 0.5, 0.7):
        for beta in (0.02, 0.05, 0.1, 0.2):
            start = np.random.default_rng(SEED.value)
            c = between_views(clouds(start, second)[0], start)
            steps, rate, growth = time_to_second(c, beta, start)
            value = np.linalg.eigvalsh(c)[0]
            times.append((beta, value, steps, growth / rate, growth))
    beta, value, steps, predicted, growth = np.array(times).T
    law, folds = (1 + beta) / (beta * value), steps / growth
    axes[1, 0].loglog(law, folds, "o", label="measured")
    axes[1, 0].loglog(law, law / (8 * LEARNING_RATE), "k-", lw=0.7, label="Theorem 3.2")
    axes[1, 0].set(
        title="Steps per e-fold of the second",
        xlabel="(1 + β) / (β λ₂)",
        ylabel="steps",
    )
    axes[1, 0].xaxis.set_minor_formatter("")
    axes[1, 0].legend(fontsize=8)
    ratio = steps / predicted
    print(f"Steps measured / predicted: {ratio.min():.2f} to {ratio.max():.2f}")

    path = pathlib.Path(OUT.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".png"), dpi=110)
    header = ("network", "beta", "step", "singular_value_1", "singular_value_2")
    write(path.with_suffix(".csv"), header, rows)
    header = ("beta", "lambda_2", "steps", "steps_predicted", "log_growth")
    write(path.with_name(path.name + "_times.csv"), header, times)
    print(f"Written to {path}.png, {path}.csv and {path}_times.csv")


def write(path, header, rows):
    """Write a table, with six digits of each float."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(
            [f"{x:.6g}" if isinstance(x, float) else x for x in row] for row in rows
        )


if __name__ == "__main__":
    app.run(main)
