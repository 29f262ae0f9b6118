"""Batch statistics that lag behind a short training, measured anew."""

import keras
import numpy as np
import pytest

import helpers
from keras_mvssl import callbacks
from keras_mvssl import evaluation
from keras_mvssl import models
from keras_mvssl import training
from keras_mvssl import views
from keras_mvssl.data import splits
from keras_mvssl.evaluation import batch_statistics

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (70, 8, 8, 3)).astype("uint8")


def encoder_with(momentum, trainable=True):
    """An encoder with batch statistics that are known in closed form, and dropout."""
    images = keras.Input((8, 8, 3))
    norm = keras.layers.BatchNormalization(momentum=momentum, name="norm")
    norm.trainable = trainable
    x = keras.layers.Dropout(0.5)(norm(images))
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


def statistics_of(encoder):
    layer = encoder.get_layer("norm")
    return map(keras.ops.convert_to_numpy, (layer.moving_mean, layer.moving_variance))


@pytest.mark.parametrize("momentum", [0.9, 0.999])
def test_statistics_are_means_over_batches(momentum):
    encoder = encoder_with(momentum)
    before = helpers.weights_of(encoder)
    settled = evaluation.with_batch_statistics(encoder, IMAGES, batch_size=32)
    # Two whole batches, in an order by chance.
    chosen = IMAGES[np.random.default_rng(0).permutation(70)[:64]].astype("float64")
    batches = chosen.reshape(2, -1, 3)
    shares = np.array([momentum, 1])[:, None] / (1 + momentum)  # later ones count more
    mean, variance = statistics_of(settled)
    np.testing.assert_allclose(mean, (shares * batches.mean(1)).sum(0), rtol=1e-4)
    np.testing.assert_allclose(variance, (shares * batches.var(1)).sum(0), rtol=1e-3)
    for one, other in zip(helpers.weights_of(encoder), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_frozen_statistics_stay():
    settled = evaluation.with_batch_statistics(encoder_with(0.9, False), IMAGES)
    mean, variance = statistics_of(settled)
    assert (mean == 0).all() and (variance == 1).all()


def test_lag():
    assert batch_statistics.lag(encoder_with(0.999), 200) == 0.999**200
    assert batch_statistics.lag(encoder_with(0.999, trainable=False), 200) == 0
    assert batch_statistics.lag(keras.Sequential([keras.layers.Flatten()]), 200) == 0


@pytest.mark.parametrize(
    "images, batch_size",
    [(IMAGES[:1], 32), (IMAGES, 1), (IMAGES[:, :4], 32), (IMAGES / 255, 32)],
)
def test_refuses(images, batch_size):
    with pytest.raises(ValueError, match="Received: "):
        evaluation.with_batch_statistics(encoder_with(0.9), images, batch_size)


class Look(keras.callbacks.Callback):
    """Notes the weights of the encoder, before and after the callbacks in between."""

    def __init__(self, noted):
        super().__init__()
        self.noted = noted

    def on_epoch_end(self, epoch, logs=None):
        self.noted.append(helpers.weights_of(self.model.encoder))


@pytest.fixture
def train(labelled):
    def train(momentum, steps=40, **settings):
        """Train an encoder of one convolution; return logs and the noted weights."""
        keras.utils.set_random_seed(0)
        images = keras.Input((12, 12, 3))
        x = keras.layers.Conv2D(8, 3, strides=2)(images)
        x = keras.layers.BatchNormalization(momentum=momentum)(x)
        encoder = keras.Model(
            images, keras.layers.GlobalAveragePooling2D()(keras.ops.relu(x))
        )
        model = models.MultiViewModel(
            encoder,
            models.Projector(8, 8),
            views.RandomViews(views.Augmentation(size=(12, 12)), views=2, seed=0),
        )
        model.compile(optimizer="adam")
        noted = []
        data = np.concatenate([labelled[0]] * steps)[: 8 * steps]
        watchers = [
            Look(noted),
            callbacks.LinearProbe(labelled, labelled, **settings),
            callbacks.KNNProbe(labelled, labelled, **settings),
            callbacks.Spectrum(labelled[0], **settings),
            Look(noted),
        ]
        history = model.fit(data, batch_size=8, callbacks=watchers, verbose=0)
        return model, {k: v[-1] for k, v in history.history.items()}, noted

    return train


def test_callbacks_measure_lagging_statistics_and_put_them_back(train):
    with pytest.warns(UserWarning, match="after 40 steps, 96% of its moving") as found:
        _, logs, (before, after) = train(0.999)
    assert sum("lags" in str(x.message) for x in found) == 1
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    _, kept, _ = train(0.999, batch_statistics=False)
    # What training computes is the same; what is looked at is not.
    assert logs["loss"] == kept["loss"] and logs["rankme"] > 1.2 * kept["rankme"]


def test_a_run_saves_the_encoder_that_it_has_measured(train, labelled, tmp_path):
    images, labels = labelled
    model, *_ = train(0.999, batch_statistics=False)
    data = splits.Splits("mine", images, labelled, labelled, images.shape[1:])
    recipe = training.Recipe(epochs=10, batch_size=8, views=2, learning_rate=0.01)
    with pytest.warns(UserWarning, match="moving statistics are from before"):
        results = training.run(
            recipe, tmp_path / "run", encoder=model.encoder, data=data
        )
    assert results["steps"] >= 30 and results["batch_statistics"] == "of images"
    assert "normalisation lagged" in (tmp_path / "run/report.html").read_text()
    encoder = keras.saving.load_model(tmp_path / "run/encoder.keras")
    features, _ = evaluation.extract_features(encoder, (images, labels))
    found = evaluation.linear_probe((features, labels), (features, labels))
    assert found.accuracy == results["probe"]["final"]
    settled = evaluation.with_batch_statistics(encoder, labelled)
    for one, other in zip(*map(helpers.weights_of, (encoder, settled)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_callbacks_leave_statistics_that_do_not_lag(train):
    _, logs, _ = train(0.9)
    _, kept, _ = train(0.9, batch_statistics=False)
    assert logs == kept
    _, measured, _ = train(0.9, batch_statistics=True)
    assert measured["rankme"] != kept["rankme"]


def test_callbacks_refuse_other_settings(labelled):
    with pytest.raises(ValueError, match="Received: batch_statistics='always'"):
        callbacks.LinearProbe(labelled, labelled, batch_statistics="always")
