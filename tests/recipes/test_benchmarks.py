"""Code of the benchmarks that stands in for code of the package."""

import cProfile
import pstats
import sys

import keras
import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl import MultiViewModel
from keras_mvssl.losses import BarlowTwins
from keras_mvssl.losses import VICReg
from keras_mvssl.models import Projector
from keras_mvssl.models import TinyResNet

sys.path.append(str(helpers.ROOT / "recipes/benchmarks"))  # where the scripts look

import checks
import pair_loops
import step_variants


@pytest.mark.parametrize("views, dim", [(2, 8), (2, 40), (4, 8), (4, 40)])
def test_rounded_loss_computes_the_same(views, dim):
    """On a CPU, where the backend does not round products."""
    projections = np.random.default_rng(0).normal(size=(16, views, dim))
    found, expected = (
        helpers.value_and_gradient(lambda z, loss=loss: loss(None, z), projections)
        for loss in (step_variants.RoundedBarlowTwins(16), BarlowTwins())
    )
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_loops_over_pairs_compute_the_same():
    projections = np.random.default_rng(0).normal(size=(16, 4, 8)).astype("float32")
    pairs = (
        (pair_loops.barlow_twins_loop, BarlowTwins(pairing="all")),
        (pair_loops.vicreg_loop, VICReg()),
    )
    for function, loss in pairs:
        loop = pair_loops.PairLoop(function)
        expected = float(loss(None, projections))
        assert float(loop(projections, projections)) == pytest.approx(
            expected, rel=1e-4
        )


def test_stock_normalization_is_not_fused():
    encoder = TinyResNet((8, 8, 3))
    copy = step_variants.with_stock_normalization(encoder)
    copy.set_weights(encoder.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3))
    expected, found = encoder(images), copy(images)
    np.testing.assert_allclose(
        *map(keras.ops.convert_to_numpy, (found, expected)), rtol=1e-4, atol=1e-5
    )
    MultiViewModel(copy, Projector(copy.output_shape[-1], 8)).compile()
    for layer in copy.layers:
        assert "call" not in vars(layer)


def test_time_in_checks_is_found():
    profiler = cProfile.Profile()
    images = np.random.default_rng(0).uniform(0, 255, (200, 64, 64, 3))
    labels = np.arange(200)
    profiler.runcall(mv.callbacks.KNNProbe, (images, labels), (images, labels))
    stats = pstats.Stats(profiler)
    found = checks.seconds_in_checks(stats.stats)
    assert 0.2 * stats.total_tt < found < 1.01 * stats.total_tt
