import keras
import numpy as np
import pytest
import tensorflow as tf

import helpers
from keras_mvssl.callbacks import LinearProbe
from keras_mvssl.callbacks import TensorBoard


def views():
    return np.random.default_rng(0).integers(0, 256, (8, 2, 12, 12, 3), dtype="uint8")


def test_probe_enters_the_logs(model, labelled, tmp_path):
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.keras",
        monitor="probe_accuracy",
        save_best_only=True,
        mode="max",
    )
    probe = LinearProbe(labelled, labelled, every=2, batch_size=16)
    history = model.fit(
        views(), batch_size=4, epochs=3, callbacks=[probe, best], verbose=0
    ).history
    # After the second epoch and after the last.
    assert len(history["probe_accuracy"]) == 2
    assert min(history["probe_accuracy"]) > 0.9
    assert (tmp_path / "best.keras").exists()


def test_probe_runs_when_training_stops_early(model, labelled):
    stop = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)
    probe = LinearProbe(labelled, labelled, every=5)
    history = model.fit(
        views(), batch_size=4, epochs=9, callbacks=[stop, probe], verbose=0
    ).history
    assert len(history["loss"]) < 5 and len(history["probe_accuracy"]) == 1


def test_probe_refuses_images_that_do_not_fit_the_encoder(model, labelled):
    images, labels = labelled
    larger = np.repeat(images, 2, axis=1), labels[:, None]
    with pytest.raises(ValueError, match="`test` do not fit the encoder"):
        model.fit(views(), callbacks=[LinearProbe(labelled, larger)], verbose=0)
    assert model.optimizer.iterations == 0


def test_probe_leaves_training_as_it_is(labelled, model):
    def train(callbacks):
        keras.utils.set_random_seed(1)
        copy = keras.models.clone_model(model)
        copy.compile(optimizer="adam")
        copy.fit(views(), batch_size=4, epochs=2, callbacks=callbacks, verbose=0)
        return helpers.weights_of(copy)

    probed = train([LinearProbe(labelled, labelled)])
    for got, expected in zip(probed, train([])):
        np.testing.assert_array_equal(got, expected)


def test_probe_refuses_bad_data_at_once(labelled):
    images, labels = labelled
    with pytest.raises(ValueError, match="`train` must be labelled"):
        LinearProbe(images, labelled)
    with pytest.raises(ValueError, match="whole numbers.*numpy.unique"):
        LinearProbe(labelled, (images, np.array(["cat"] * len(images))))
    with pytest.raises(ValueError, match="one label for each input"):
        LinearProbe(labelled, (images, labels[1:]))
    with pytest.raises(ValueError, match="Multiply them by 255"):
        LinearProbe((images / 255, labels), labelled)
    with pytest.raises(ValueError, match="every=0"):
        LinearProbe(labelled, labelled, every=0)
    with pytest.raises(ValueError, match="two classes"):
        LinearProbe((images, labels * 0), labelled)
    with pytest.raises(ValueError, match=r"\(N, H, W, C\)"):
        LinearProbe((images[..., 0], labels), labelled)
    batched = tf.data.Dataset.from_tensor_slices(labelled).batch(8)
    with pytest.raises(ValueError, match="not batched"):
        LinearProbe(batched, labelled)


def test_tensorboard_holds_the_logs(model, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = model.fit(
        views(), batch_size=4, epochs=2, callbacks=[TensorBoard(tmp_path)], verbose=0
    ).history
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "invariance", "redundancy"}
    loss = events.Scalars("loss")
    assert [event.step for event in loss] == [2, 4]
    np.testing.assert_allclose(
        [event.value for event in loss], history["loss"], rtol=1e-5
    )
