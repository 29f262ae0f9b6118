"""The study of gradients: their values, their noise, and its table."""

import csv

import keras
import numpy as np
import pytest

import helpers
from keras_mvssl.losses import BarlowTwins
from studies.scripts import script_with_own_flags

study, OWN = script_with_own_flags("gradient_noise")


def test_gradients_are_those_of_the_loss():
    source = study.Graph()
    model, views = source.model(4), source.draw(32, 4)
    loss = BarlowTwins(0.3)
    found = study.Gradients(model, loss)(views)
    (table,) = model.get_weights()

    def of_table(x):
        z = keras.ops.take(x, views, axis=0)
        return loss(z, z)

    expected = helpers.value_and_gradient(of_table, table)[1]
    scale = abs(expected).max()
    np.testing.assert_allclose(found, expected.ravel(), atol=1e-4 * scale)
    np.testing.assert_array_equal(model.get_weights()[0], table)


class Known(study.Gradients):
    """Gradients of which one component is noise of a known size."""

    rng = np.random.default_rng(0)

    def __call__(self, views):
        return np.array([3.0, 4.0]) + self.rng.normal(size=2) * 16 / np.sqrt(len(views))


@pytest.mark.parametrize("views", [2, 8])
def test_noise_of_known_gradients(views, monkeypatch):
    """2 · (16 / 8)² of noise beside a length of 25, times views over 2."""
    monkeypatch.setattr(study, "Gradients", Known)
    OWN.batches, OWN.large = 4000, 400
    source = study.Graph()
    noise, angle = study.measure(source, source.model(2).get_weights(), "mean", views)
    assert noise == pytest.approx(8 / 25 * views / 2, rel=0.1)
    assert angle < 2


@pytest.mark.usefixtures("few_shapes")
def test_table_and_picture(tmp_path, monkeypatch, small_backbone):
    monkeypatch.setattr(study, "NUMBERS", (2, 3))
    monkeypatch.setattr(study, "STATES", (0, 1))
    monkeypatch.setattr(study, "BATCH", 8)
    monkeypatch.setattr(study, "Shapes", study.Graph)  # quick
    OWN.batches, OWN.large, OWN.out = 2, 1, str(tmp_path / "noise")
    study.main(["gradient_noise.py"])
    with open(tmp_path / "noise.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2 * 2
    assert all(float(row["noise"]) > 0 for row in rows)
    assert (tmp_path / "noise.png").stat().st_size > 10_000
