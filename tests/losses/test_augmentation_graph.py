"""The reformulated loss finds the eigenfunctions of the augmentation kernel."""

import numpy as np
import pytest
from scipy import linalg
from scipy import optimize

import helpers
from keras_mvssl.losses import ReformulatedSSL
from losses.cases import total


def random_graph(seed):
    """Images scattered in a square, whose views are themselves and some near ones.

    Returns:
        The views of each image as rows of node numbers, `(B, V)`, and the number k of
        eigenfunctions, beyond the constant, after which the largest gap follows.
    """
    rng = np.random.default_rng(seed)
    while True:
        nodes, views = rng.integers(30, 201), rng.integers(3, 7)
        places = rng.uniform(size=(nodes, 2))
        distance = linalg.norm(places[:, None] - places[None], axis=-1)
        noise = rng.gumbel(size=distance.shape)
        likely = np.argsort(np.where(distance > 0, distance * 20 - noise, -9), axis=1)
        graph = likely[:, :views]
        values, _, _ = kernel(graph)
        gaps = values[1:8] - values[2:9]
        if gaps.max() >= 0.02:
            return graph, 1 + int(gaps.argmax())


def kernel(graph):
    """Eigenvalues and eigenfunctions of the augmentation kernel, and p(view).

    With p(x|x₀) the share of view x among those of image x₀, the kernel is the mean
    over x₀ of p(x|x₀) p(z|x₀) / (p(x) p(z)), on functions of finite Σ p f² (eq. 3).
    """
    share = np.zeros((len(graph), len(graph)))
    for image, views in enumerate(graph):
        np.add.at(share[image], views, 1 / len(views))
    p = share.mean(axis=0)
    scaled = share / np.sqrt(p)
    values, vectors = linalg.eigh(scaled.T @ scaled / len(graph))
    return values[::-1], vectors[:, ::-1] / np.sqrt(p)[:, None], p


def minimize(loss, graph, dim, seed):
    """The features `(nodes, dim)` of least loss, of all functions of the nodes."""
    nodes = len(graph)

    def evaluate(projections):
        return total(loss, projections)

    gradient_of = helpers.compiled_value_and_gradient(evaluate)

    def value_and_gradient(flat):
        z = flat.reshape(-1, dim)[graph].astype("float32")
        value, gradient = gradient_of(z)
        scattered = np.zeros((nodes, dim))
        np.add.at(scattered, graph, gradient)
        return value, scattered.ravel()

    start = 0.1 * np.random.default_rng(seed).normal(size=nodes * dim)
    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 0, "gtol": 1e-7}
    found = optimize.minimize(
        value_and_gradient, start, jac=True, method="L-BFGS-B", options=options
    )
    return found.x.reshape(-1, dim)


every_seed = pytest.mark.parametrize(
    "seed", [0, 1, 2] + [pytest.param(s, marks=pytest.mark.slow) for s in range(3, 20)]
)


@every_seed
def test_recovers_the_top_eigenfunctions(seed):
    graph, k = random_graph(seed)
    _, functions, p = kernel(graph)
    learned = minimize(ReformulatedSSL(beta=2.0), graph, k, seed)
    weight = np.sqrt(p)[:, None]
    learned = weight * (learned - p @ learned)
    angles = linalg.subspace_angles(learned, weight * functions[:, 1 : k + 1])
    assert angles.max() < 0.05


@every_seed
def test_does_not_collapse(seed):
    graph, k = random_graph(seed)
    p = kernel(graph)[-1]
    learned = minimize(ReformulatedSSL(), graph, k, seed)
    centred = learned - p @ learned
    variances = linalg.eigvalsh(centred.T @ (p[:, None] * centred))
    assert variances.min() > 0.4
