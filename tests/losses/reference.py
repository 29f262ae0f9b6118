"""The losses written from the formulas, in NumPy float64, with loops over pairs."""

import itertools

import numpy as np


def standardized(z, per_view=False, l2_normalize=False):
    z = z.astype("float64")
    if l2_normalize:
        norms = np.sqrt((z**2).sum(axis=-1, keepdims=True))
        z = z / norms * np.sqrt(z.shape[-1])
    axis = 0 if per_view else (0, 1)
    centred = z - z.mean(axis=axis, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=axis, keepdims=True) + 1e-5)


def barlow_twins_terms(z, pairing="mean", standardization="joint", l2_normalize=False):
    z = standardized(z, standardization == "per_view", l2_normalize)
    batch, views, dim = z.shape
    off = ~np.eye(dim, dtype=bool)
    if pairing == "mean":
        mean = z.mean(axis=1)
        diagonals = [(z[:, a] * mean).sum(axis=0) / batch for a in range(views)]
        invariance = np.mean([((1 - d) ** 2).sum() for d in diagonals])
        correlation = mean.T @ mean / batch
        return invariance, (correlation[off] ** 2).sum()
    pairs = []
    for a, b in itertools.permutations(range(views), 2):
        correlation = z[:, a].T @ z[:, b] / batch
        on = ((1 - np.diag(correlation)) ** 2).sum()
        pairs.append((on, (correlation[off] ** 2).sum()))
    return tuple(np.mean(pairs, axis=0))


def barlow_twins(z, beta, **options):
    invariance, redundancy = barlow_twins_terms(z, **options)
    return invariance + beta * redundancy


def original_barlow_twins(z1, z2, beta):
    """Zbontar et al. (2021), Algorithm 1, with eps in the batch normalisation."""

    def batch_norm(z):
        return (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5)

    c = batch_norm(z1).T @ batch_norm(z2) / len(z1)
    difference = (c - np.eye(len(c))) ** 2
    difference[~np.eye(len(c), dtype=bool)] *= beta
    return difference.sum()


def original_vicreg(x, y, invariance=25.0, variance=25.0, covariance=1.0):
    """Bardes et al. (2022), Algorithm 1, as published for two views."""
    batch, dim = x.shape
    similarity = np.mean((x - y) ** 2)
    deviations = [np.sqrt(z.var(axis=0, ddof=1) + 1e-4) for z in (x, y)]
    spread = sum(np.mean(np.maximum(0, 1 - d)) for d in deviations) / 2
    overlap = 0.0
    for z in (x, y):
        z = z - z.mean(axis=0)
        cov = z.T @ z / (batch - 1)
        overlap += (cov[~np.eye(dim, dtype=bool)] ** 2).sum() / dim
    return invariance * similarity + variance * spread + covariance * overlap


def vicreg(z, **weights):
    """The mean of the published loss over all pairs of views.

    Each of its terms is linear in what depends on one view or on a pair.
    """
    z = z.astype("float64")
    pairs = itertools.combinations(range(z.shape[1]), 2)
    return np.mean([original_vicreg(z[:, a], z[:, b], **weights) for a, b in pairs])


def reformulated(z, beta):
    """Eq. 10 of Ghosh et al. with its constraint as a penalty."""
    z = z.astype("float64")
    batch, views, dim = z.shape
    invariance = 0.0
    for image in z:
        for view in image:
            invariance += ((image.mean(axis=0) - view) ** 2).sum() / (batch * views)
    cov = np.cov(z.reshape(-1, dim).T, bias=True).reshape(dim, dim)
    penalty = (np.eye(dim) - cov) ** 2
    penalty[~np.eye(dim, dtype=bool)] *= beta
    return invariance + penalty.sum()
