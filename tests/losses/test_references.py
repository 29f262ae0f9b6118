"""Value and gradient against float64 references written from the formulas."""

from unittest import mock

import numpy as np
import pytest

import helpers
from keras_mvssl import _backend
from keras_mvssl.losses import BarlowTwins
from keras_mvssl.losses import VICReg
from keras_mvssl.losses import correlations
from losses import reference
from losses.cases import CASES
from losses.cases import projections
from losses.cases import total
from losses.cases import value

# Rows are normalised before views are compared. Many views matter to pairs alone.
VIEWS_OF_CASES = [
    (case, views)
    for case in CASES
    for views in (2, 3, 5, 8, 9)
    if not (case.endswith("rows") and views > 3) and (views < 9 or "all" in case)
]


@pytest.mark.parametrize("case, views", VIEWS_OF_CASES)
@pytest.mark.parametrize("batch, dim", [(7, 2), (4, 6)], ids=["D<B", "D>B"])
def test_value_and_gradient(case, views, batch, dim):
    z = projections(batch, views, dim)
    loss, expected = CASES[case]
    got, gradient = helpers.value_and_gradient(lambda x: total(loss, x), z)
    z = z.astype("float64")
    assert got == pytest.approx(expected(z), rel=1e-5)
    # Along random directions, no error of the gradient goes unseen.
    directions = np.random.default_rng(1).normal(size=(10, *z.shape))
    error = np.tensordot(directions, gradient, 3) - helpers.slopes(
        expected, z, directions
    )
    assert np.abs(error).max() < 1e-4 * np.linalg.norm(gradient)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch, dim", [(30, 3), (4, 9)], ids=["D<B", "D>B"])
def test_second_derivative(case, batch, dim):
    z = projections(batch, 9, dim)
    loss, expected = CASES[case]
    direction = np.random.default_rng(1).normal(size=z.shape)
    got = helpers.hessian_product(
        lambda x: total(loss, x), z, direction.astype("float32")
    )
    z, step = z.astype("float64"), 1e-4 * direction
    curvature = expected(z + step) - 2 * expected(z) + expected(z - step)
    assert np.sum(got * direction) == pytest.approx(curvature / 1e-8, rel=1e-3)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch", [6, 20, 60, 200])
def test_feature_and_sample_space(case, batch):
    # D = 24, V = 4. Where the cheaper space changes: at B = 6 for the covariance over
    # all rows, at 24 for that of a view, at 36 for all pairs.
    z = projections(batch, 4, 24)
    loss, expected = CASES[case]
    assert value(loss, z) == pytest.approx(expected(z), rel=1e-5)


@pytest.mark.parametrize("pairing", ["mean", "all"])
@pytest.mark.parametrize("views", [3, 9])
def test_features_in_parts(views, pairing, monkeypatch):
    z = projections(4, views, 50)
    loss = BarlowTwins(0.3, pairing=pairing)
    whole = helpers.value_and_gradient(lambda x: total(loss, x), z)
    monkeypatch.setattr(correlations, "CPU_CHUNK_SIZE", 7 * z[:, :, 0].size)
    spy = mock.Mock(side_effect=correlations.standardize)
    monkeypatch.setattr(correlations, "standardize", spy)
    parts = helpers.value_and_gradient(lambda x: total(loss, x), z)
    assert [call.args[0].shape[2] for call in spy.mock_calls[:8]] == [7] * 7 + [1]
    assert parts[0] == pytest.approx(whole[0], rel=1e-5)
    error = np.abs(parts[1] - whole[1]).max()
    assert error < 1e-5 * np.abs(whole[1]).max()


@pytest.mark.parametrize("pairing", ["mean", "all"])
@pytest.mark.parametrize("views", [3, 8])
def test_on_an_accelerator(views, pairing, monkeypatch):
    z = projections(4, views, 50)
    loss = BarlowTwins(0.3, pairing=pairing)
    whole = helpers.value_and_gradient(lambda x: total(loss, x), z)
    monkeypatch.setattr(_backend, "has_accelerator", lambda: True)
    monkeypatch.setattr(correlations, "CPU_CHUNK_SIZE", 1)
    monkeypatch.setattr(correlations, "itertools", None)  # no pair by itself
    spy = mock.Mock(side_effect=correlations.standardize)
    monkeypatch.setattr(correlations, "standardize", spy)
    there = helpers.value_and_gradient(lambda x: total(loss, x), z)
    assert [call.args[0].shape[2] for call in spy.mock_calls] == [50]
    assert there[0] == pytest.approx(whole[0], rel=1e-5)
    error = np.abs(there[1] - whole[1]).max()
    assert error < 1e-5 * np.abs(whole[1]).max()


def test_barlow_twins_as_published():
    z = projections(16, 2, 5)
    loss = BarlowTwins(beta=0.1, pairing="all", standardization="per_view")
    expected = reference.original_barlow_twins(z[:, 0], z[:, 1], 0.1)
    assert value(loss, z) == pytest.approx(expected, rel=1e-5)


def test_the_mean_view_is_no_pair():
    """At 2 views as at any number: about (1 - 1/V)² of the invariance of all pairs."""
    for views, share in ((2, 0.25), (4, 0.5625), (8, 0.765625)):
        rng = np.random.default_rng(0)
        z = rng.normal(size=(4000, views, 6)).astype("float32")
        terms = [
            float(BarlowTwins(pairing=pairing).terms(z)["invariance"])
            for pairing in ("mean", "all")
        ]
        assert terms[0] == pytest.approx(share * terms[1], rel=0.03)


def test_vicreg_as_published():
    z = projections(16, 2, 5)
    expected = reference.original_vicreg(z[:, 0], z[:, 1])
    assert value(VICReg(), z) == pytest.approx(expected, rel=1e-5)
