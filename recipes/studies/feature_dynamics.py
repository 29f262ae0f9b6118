"""Dynamics of features that are learned, at weak and at strong orthogonality.

    python recipes/studies/feature_dynamics.py

Four images are points of the plane, and a view of an image is the point plus noise:
four clouds, which differ much along one axis and less along another. Two features are
learned, at a small and at a large β, 0.05 and 1. At first both features turn to the
first axis: one direction is learned. The second is learned later, and the later the
smaller β is. Five seeds each: lines are medians, bands reach from the lowest to the
highest seed.

The linear network follows the paper's Theorem 3.2: gradient descent on
Σₚ (Cₚₚ - 1)² + β Σ_{p≠q} Cₚq² with C = W T Wᵀ, T the covariance between two views. On
the plateau where both features are the first, the second grows as exp(r t) with
r = 8 η β λ₂ / (1 + β), so that the time to it is proportional to (1 + β) / (β λ₂).
The other network has a hidden layer, and Keras trains it with the paper's objective,
`losses.ReformulatedSSL`, on 250 new views of each image in each step.

Like figure 3 of the poster. The script writes a picture and two tables: singular values
over training, and times to the second feature against the prediction. It takes about
40 seconds on two CPU cores with TensorFlow.
"""

import csv
import pathlib

import keras
import matplotlib
import numpy as np
from absl import app
from absl import flags

from keras_mvssl.losses import ReformulatedSSL

matplotlib.use("Agg")
from matplotlib import pyplot as plt

OUT = flags.DEFINE_string(
    "out", "runs/feature_dynamics", "Path for results, without .png and .csv."
)
SEEDS = flags.DEFINE_integer("seeds", 5, "Number of trainings at each β.", 1)

NOISE, VIEWS = 0.12, 250
LEARNING_RATE = 0.02  # η, of the linear network
BETAS = (0.05, 1.0)
# Steps of each network, and those after which its features are drawn.
STEPS = {"linear": (6000, 600), "hidden layer": (1500, 150)}
EVERY = 10  # steps between singular values in the table, and of the hidden layer


def draw_images(second=0.5, turn=np.pi / 6):
    """Return the four images, `(4, 2)`.

    Args:
        second: The images lie at (±1, ±second).
        turn: Angle, in radians, by which the plane is turned.
    """
    images = np.array([(x, y * second) for x in (-1, 1) for y in (-1, 1)])
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return images @ axes


def draw_views(images, rng, steps=1):
    """Draw views of each image, `(steps, 4, VIEWS, 2)`."""
    noise = NOISE * rng.normal(size=(steps, len(images), VIEWS, 2))
    return images[:, None] + noise


def between_views(images, rng):
    """Compute the symmetrised covariance T of two views of an image."""
    a, b = (draw_views(images, rng).reshape(-1, 2) for _ in range(2))
    product = a.T @ b / len(a)
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
    """Callback that measures the singular values of features every few steps.

    Args:
        views: `(4, VIEWS, 2)`, the views that are measured.
        drawn: The step before which features are kept.

    Attributes:
        features: Features of the views before that step, centred, `(4 * VIEWS, 2)`.
        trace: Two singular values for each measurement.
    """

    def __init__(self, views, drawn):
        super().__init__()
        self.views = views.astype("float32")
        self.drawn = drawn
        self.trace = []

    def on_train_batch_begin(self, batch, logs=None):
        if batch % EVERY:
            return
        z = np.asarray(self.model.predict_on_batch(self.views)).reshape(-1, 2)
        z = z - z.mean(axis=0)
        self.trace.append(np.linalg.svd(z, compute_uv=False) / np.sqrt(len(z)))
        if batch == self.drawn:
            self.features = z


def train_hidden(images, beta, seed):
    """Train a small network: its features, and their singular values over training."""
    rng = np.random.default_rng(seed)
    steps, drawn = STEPS["hidden layer"]
    views = draw_views(images, rng, steps).reshape(-1, VIEWS, 2).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((VIEWS, 2)),
            keras.layers.Dense(32, activation="tanh"),
            keras.layers.Dense(2),
        ]
    )
    # Keras' own initial weights would differ from backend to backend. Small ones show
    # the features one after the other.
    model.set_weights(
        [
            0.3 * rng.normal(0, w.shape[0] ** -0.5, w.shape) * (w.ndim > 1)
            for w in model.weights
        ]
    )
    model.compile(keras.optimizers.SGD(0.06), ReformulatedSSL(beta))
    callback = SingularValues(draw_views(images, rng)[0], drawn)
    model.fit(
        views,
        views,  # Keras wants targets; the loss ignores them.
        batch_size=len(images),
        shuffle=False,
        verbose=0,
        callbacks=[callback],
    )
    return callback.features, np.array(callback.trace)


def train(network, images, beta, seed):
    """Train a network: features on the way, and singular values every few steps."""
    if network == "hidden layer":
        return train_hidden(images, beta, seed)
    covariance = between_views(images, np.random.default_rng(seed))
    (_, trace), (weights, _) = (
        train_linear(covariance, beta, steps, np.random.default_rng(seed))
        for steps in STEPS[network]
    )
    views = draw_views(images, np.random.default_rng(seed))
    return views.reshape(-1, 2) @ weights.T, trace[::EVERY]


def scatter(axis, views, title):
    """Draw views, or their features, in the colors of their images."""
    image = np.arange(len(views)) // VIEWS
    axis.scatter(*views.T, c=image, cmap="tab10", vmax=9, s=3)
    axis.set(title=title, xticks=[], yticks=[], aspect="equal")


def main(argv):
    """Train both networks, and write the picture and the tables."""
    del argv
    images = draw_images()
    figure, axes = plt.subplots(2, 4, figsize=(13, 6.4), layout="constrained")
    rng = np.random.default_rng(0)
    scatter(axes[0, 0], draw_views(images, rng).reshape(-1, 2), "Views of four images")
    rows = []
    for line, network in enumerate(("linear", "hidden layer")):
        for column, beta in enumerate(BETAS):
            print(f"Training the network ({network}) at β = {beta}", flush=True)
            made = [train(network, images, beta, seed) for seed in range(SEEDS.value)]
            title = f"{network}, β = {beta:g}, step {STEPS[network][1]}"
            scatter(axes[line, 1 + column], made[0][0], title)
            traces = np.array([trace for _, trace in made])
            for index, style in enumerate(("-", "--")):
                values = traces[:, :, index]
                label = f"β = {beta:g}, {('first', 'second')[index]}"
                color = f"C{column}"
                median = np.median(values, axis=0)
                steps = EVERY * np.arange(values.shape[1])
                axes[line, 3].plot(steps, median, style, color=color, label=label)
                low, high = values.min(0), values.max(0)
                axes[line, 3].fill_between(steps, low, high, color=color, alpha=0.15)
            rows += [
                (network, beta, seed, EVERY * index, *values)
                for seed, trace in enumerate(traces)
                for index, values in enumerate(trace)
            ]
        axes[line, 3].set(title=f"Singular values ({network})", xlabel="step")
        axes[line, 3].legend(fontsize=8)

    print("Timing the second feature of the linear network", flush=True)
    times = []
    for second in (0.35, 0.5, 0.7):
        for beta in (0.02, 0.05, 0.1, 0.2):
            start = np.random.default_rng(0)
            c = between_views(draw_images(second), start)
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
    header = ("network", "beta", "seed", "step", "singular_value_1", "singular_value_2")
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
