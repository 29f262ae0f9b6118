"""A finite augmentation graph, and its kernel."""

import numpy as np

IMAGES, VIEWS = 120, 6


def augmentation_graph(rng):
    """Draw places `(N, 2)`, and the views of each image as indices of places `(N, V)`.

    Args:
        rng: `numpy.random.Generator`.
    """
    places = rng.uniform(size=(IMAGES, 2)) * (2.2, 1.0)
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    noisy = distance - 0.05 * rng.gumbel(size=distance.shape)
    np.fill_diagonal(noisy, -9)  # The image itself is always among its views.
    return places, np.argsort(noisy, axis=1)[:, :VIEWS]


def augmentation_kernel(graph):
    """Compute the kernel, its eigenvalues and eigenfunctions, and p(view).

    Args:
        graph: Views of each image, indices of places `(N, V)`.
    """
    share = np.zeros((IMAGES, IMAGES))  # p(view | image)
    np.put_along_axis(share, graph, 1 / VIEWS, axis=1)
    p = share.mean(axis=0)
    scaled = share / np.sqrt(p)
    symmetric = scaled.T @ scaled / IMAGES
    values, vectors = np.linalg.eigh(symmetric)
    root = np.sqrt(p)
    kernel = symmetric / np.outer(root, root)
    return kernel, values[::-1], vectors[:, ::-1] / root[:, None], p
