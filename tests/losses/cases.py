"""Losses beside their references, and projections to try them on."""

import itertools

import numpy as np
from keras import ops

from keras_mvssl.losses import BarlowTwins
from keras_mvssl.losses import ReformulatedSSL
from keras_mvssl.losses import VICReg
from losses import reference


def _barlow_twins(**options):
    return BarlowTwins(0.3, **options), lambda z: reference.barlow_twins(
        z, 0.3, **options
    )


def _vicreg(**weights):
    return VICReg(**weights), lambda z: reference.vicreg(z, **weights)


# {name: (loss, reference)}
CASES = {
    "-".join(["barlow_twins", p, s, "rows"][: 4 if n else 3]): _barlow_twins(
        pairing=p, standardization=s, l2_normalize=n
    )
    for p, s, n in itertools.product(
        ("mean", "all"), ("joint", "per_view"), (False, True)
    )
} | {
    "vicreg": _vicreg(),
    "vicreg-weights": _vicreg(invariance=1.0, variance=3.0, covariance=2.0),
    "reformulated": (ReformulatedSSL(0.3), lambda z: reference.reformulated(z, 0.3)),
}


def projections(batch, views, dim, seed=0):
    """Views that agree in part, features of several scales and offsets."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(batch, 1, dim)) @ rng.normal(size=(dim, dim))
    z = shared + rng.normal(size=(batch, views, dim))
    return (z * rng.uniform(0.2, 1, dim) + rng.normal(size=dim)).astype("float32")


def total(loss, x):
    return loss(x, x)  # Keras wants targets; they are ignored.


def value(loss, z):
    return float(total(loss, ops.convert_to_tensor(z)))
