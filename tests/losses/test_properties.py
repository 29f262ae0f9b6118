"""What holds for any projections."""

import functools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from keras import ops

import helpers
import recipes.cifar10
import recipes.folder
import recipes.imagenet100
import recipes.shapes
import recipes.stl10
from keras_mvssl.losses import BarlowTwins
from keras_mvssl.losses import ReformulatedSSL
from keras_mvssl.losses import VICReg
from losses.cases import CASES
from losses.cases import projections
from losses.cases import total
from losses.cases import value

RECIPES = [
    recipes.cifar10,
    recipes.folder,
    recipes.imagenet100,
    recipes.shapes,
    recipes.stl10,
]
BETAS = sorted(
    {b for r in RECIPES for row in r.VIEWS.values() for b in row["beta"].values()}
)
# Few shapes: each is compiled anew on JAX.
SHAPES = st.sampled_from([(12, 2, 5), (12, 4, 5), (6, 3, 8)])
SEEDS = st.integers(0, 1000)
every_case = pytest.mark.parametrize("case", CASES)


@every_case
@hypothesis.given(SHAPES, SEEDS)
def test_order_of_views_and_samples_does_not_matter(case, shape, seed):
    loss, z = CASES[case][0], projections(*shape, seed)
    rng = np.random.default_rng(seed)
    shuffled = z[rng.permutation(shape[0])][:, rng.permutation(shape[1])]
    assert value(loss, shuffled) == pytest.approx(value(loss, z), rel=1e-5)


@pytest.mark.parametrize("case", [name for name in CASES if "rows" not in name])
@hypothesis.given(SHAPES, SEEDS, st.floats(-10, 10))
def test_shifting_features_does_not_matter(case, shape, seed, shift):
    loss, z = CASES[case][0], projections(*shape, seed)
    offsets = (shift * np.arange(shape[-1])).astype("float32")
    assert value(loss, z + offsets) == pytest.approx(value(loss, z), rel=1e-4)


@every_case
@hypothesis.given(SHAPES, SEEDS, st.floats(1, 100))
def test_identical_views_have_no_invariance_term(case, shape, seed, scale):
    batch, views, dim = shape
    z = np.random.default_rng(seed).normal(size=(batch, 1, dim))
    z = np.repeat(scale * z / z.std(axis=0), views, axis=1)
    if "rows" in case:  # Rows of norm √D have features of mean square 1.
        z = z - z.mean(axis=0)
    terms = CASES[case][0].terms(z.astype("float32"))
    assert float(terms["invariance"]) < 1e-6


def orthogonal_noise(rng, batch, columns):
    """Columns of mean 0, variance 1 and no correlation at all."""
    noise = rng.normal(size=(batch, columns))
    return np.linalg.qr(noise - noise.mean(axis=0))[0] * np.sqrt(batch)


def embeddings(views, agreement, seed, batch=128, dim=8):
    """Projections that agree alike between views, feature by feature."""
    rng = np.random.default_rng(seed)
    noise = orthogonal_noise(rng, batch, dim * (views + 1))
    shared, own = np.split(noise.reshape(batch, -1, dim), [1], axis=1)
    spread = np.sqrt(agreement) * shared + np.sqrt(1 - agreement) * own
    signs = rng.choice([-1, 1], dim)
    made = {
        "spread": spread,
        "constant": np.full_like(spread, rng.normal()),
        "rank one": spread[..., :1] * signs,
        "duplicated": np.tile(spread[..., : dim // 2], 2),
    }
    return {name: z.astype("float32") for name, z in made.items()}


LOSSES = (
    [
        BarlowTwins(beta, pairing, standardization)
        for beta in ["auto", *BETAS]
        for pairing in ("mean", "all")
        for standardization in ("joint", "per_view")
    ]
    + [ReformulatedSSL(beta) for beta in ["auto", *BETAS]]
    + [VICReg()]
)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("views", [2, 4, 8])
@hypothesis.given(st.floats(0.8, 0.99), SEEDS)
@hypothesis.settings(max_examples=3)
def test_collapse_scores_worse(views, loss, agreement, seed):
    made = embeddings(views, agreement, seed)
    best = value(loss, made.pop("spread"))
    for name, z in made.items():
        assert value(loss, z) > best, (name, loss.get_config())


@functools.cache
def step_in(case, dtype):
    """Value and gradient of a case, from projections in another type."""
    loss = CASES[case][0]
    return helpers.compiled_value_and_gradient(
        lambda x: total(loss, ops.cast(x, dtype))
    )


@every_case
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@hypothesis.given(SEEDS, st.floats(0, 4))
@hypothesis.settings(max_examples=10)
def test_value_and_gradient_are_finite(case, dtype, seed, exponent):
    z = projections(6, 3, 8, seed)
    z /= np.abs(z).max()
    # Of losses that do not standardise, the gradient grows with the cube of the
    # features: beyond some size float16 does not hold it.
    free = "barlow_twins" in case or dtype != "float16"
    z *= 10**exponent if free else 10 ** (exponent / 4)
    z[..., 0] = 7.0  # constant
    z[..., 1] *= 1e-9 if dtype != "float16" else 1e-4  # nearly dead
    result, gradient = step_in(case, dtype)(z)
    assert np.isfinite(result) and np.isfinite(gradient).all()
