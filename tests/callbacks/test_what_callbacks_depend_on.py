"""Callbacks measure the weights and the steps that are there, not those of a time."""

import keras
import numpy as np
import pytest

import keras_mvssl as mv
from keras_mvssl import evaluation

SIZE = 12


class Asked(mv.callbacks.KNNProbe):
    """Keeps the features it was given, and those that the encoder now has."""

    def measure(self, train, test):
        self.given = train[0]
        encoder, views = self.model.encoder, self.views
        self.right, _ = evaluation.extract_features(
            encoder, self.train, self.batch_size, views
        )
        return {}


class Change(keras.callbacks.Callback):
    """Changes the weights of the encoder at the end of an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        weights = self.model.encoder.get_weights()
        self.model.encoder.set_weights([2 * weight + 0.1 for weight in weights])


def some_views():
    return np.random.default_rng(0).integers(0, 256, (8, 2, SIZE, SIZE, 3), "uint8")


def test_probes_see_weights_that_a_callback_has_changed(model, labelled):
    probes = [Asked(labelled, labelled, k=3) for _ in range(2)]
    model.fit(some_views(), callbacks=[probes[0], Change(), probes[1]], verbose=0)
    for probe in probes:
        np.testing.assert_array_equal(probe.given, probe.right)
    assert np.abs(probes[0].given - probes[1].given).max() > 0.01


def test_probes_of_other_batches_see_their_own_views(model, labelled):
    views = mv.views.RandomViews(mv.views.Augmentation(size=SIZE), 2)
    probes = [
        Asked(labelled, labelled, k=3, batch_size=size, views=views) for size in (4, 8)
    ]
    model.fit(some_views(), callbacks=probes, verbose=0)
    for probe in probes:
        np.testing.assert_array_equal(probe.given, probe.right)
    assert np.abs(probes[0].given - probes[1].given).max() > 1e-4


@pytest.fixture
def scaled(model):
    """A model of which the first steps are skipped: their gradients overflow."""
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01), initial_scale=2.0**126
    )
    model.compile(optimizer, run_eagerly=True)
    return model


def skipped(model, data, **kwargs):
    watch = mv.callbacks.StopOnDivergence()
    found = model.fit(data, callbacks=[watch], verbose=0, **kwargs).history
    return found["skipped_steps"]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_skipped_steps_are_those_of_a_training(scaled):
    batches = ((some_views()[:4],) for _ in range(6))
    first = skipped(scaled, batches, steps_per_epoch=3, epochs=2)
    assert 1 <= first[0] <= 3 and first[0] <= first[1] <= 6
    scaled.optimizer.dynamic_scale.assign(1.0)
    assert skipped(scaled, some_views(), batch_size=4) == [0]
    later = skipped(scaled, some_views(), batch_size=4, initial_epoch=5, epochs=7)
    assert later == [0, 0]
    unknown = ((some_views()[:4],) for _ in range(3))
    assert skipped(scaled, unknown) == [0]


def test_a_callback_counts_anew_in_another_training(scaled):
    watch = mv.callbacks.StopOnDivergence()
    history = scaled.fit(some_views(), batch_size=2, callbacks=[watch], verbose=0)
    (first,) = history.history["skipped_steps"]
    scaled.optimizer.dynamic_scale.assign(1.0)
    again = scaled.fit(some_views(), batch_size=2, callbacks=[watch], verbose=0)
    assert first > 0 and again.history["skipped_steps"] == [0]
    watch.set_state({"skipped_steps": 7})
    for skipped_before in (7, 0):
        again = scaled.fit(some_views(), batch_size=2, callbacks=[watch], verbose=0)
        assert again.history["skipped_steps"] == [skipped_before]
