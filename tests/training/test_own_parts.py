"""Runs of parts that are given as objects, from saved weights, or for more epochs."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl.models.copies import copied
from keras_mvssl.models.copies import with_open_sizes
from keras_mvssl.models.weights import take_weights
from keras_mvssl.training import Recipe
from keras_mvssl.training.augmentation_text import changed
from keras_mvssl.training.own_parts import OwnParts
from programs import own_run

SHAPE = (own_run.SIZE, own_run.SIZE, 3)


def features(path, images):
    encoder = keras.saving.load_model(path / "encoder.keras")
    return encoder.predict(images, verbose=0)


def test_a_stopped_run_of_own_parts_ends_as_one_that_was_not(tmp_path, capsys):
    whole = own_run.run(tmp_path / "whole", [own_run.Count()])
    with pytest.raises(mv.training.Interrupted):
        own_run.run(tmp_path / "stopped", [own_run.Count(stop_after=6)])
    found = own_run.run(tmp_path / "stopped", [own_run.Count()])
    images = own_run.data().pretrain
    one, other = (features(tmp_path / x, images) for x in ("whole", "stopped"))
    np.testing.assert_array_equal(one, other)
    assert found["loss_final"] == whole["loss_final"]
    assert found["probe"]["final"] == whole["probe"]["final"] > 0.9
    named = ("loss", "beta", "dataset", "views", "backbone", "augment")
    expected = ("Spread", None, "mine", own_run.VIEWS, "Sequential", "device")
    assert tuple(found[name] for name in named) == expected
    with open(tmp_path / "stopped/metrics.csv") as file:
        assert [float(x["steps_counted"]) for x in csv.DictReader(file)] == [4, 8]
    page = (tmp_path / "stopped/report.html").read_text()
    assert "Spread" in page and "mine" in page

    # What a run of other parts would be is refused by name.
    again = Recipe.from_config(tmp_path / "whole")
    assert "encoder, loss, views, data" in capsys.readouterr().out
    assert dataclasses.replace(again, steps_per_epoch=None) == own_run.recipe()
    with pytest.raises(ValueError, match="own_loss: .*0.5.* there.* here"):
        mv.training.run(
            again,
            tmp_path / "whole",
            encoder=helpers.small_encoder,
            loss=own_run.Spread(0.25),
            views=own_run.make_views,
            data=own_run.data(),
        )
    with pytest.raises(ValueError, match="backbone: 'Sequential' there, 'tiny' here"):
        mv.training.run(
            dataclasses.replace(again, backbone="tiny"),
            tmp_path / "whole",
            data=own_run.data(),
        )


def test_a_model_is_copied_with_its_weights(tmp_path):
    encoder = helpers.small_encoder(SHAPE)
    helpers.set_numbered_weights(encoder)
    before = helpers.weights_of(encoder)
    images = own_run.data().pretrain
    results = mv.training.run(
        own_run.recipe(epochs=1, steps_per_epoch=1, learning_rate=1e-9),
        tmp_path / "run",
        encoder=encoder,
        data=images,
    )
    assert results["dataset"] == "arrays" and results["probe"]["final"] is None
    for one, other in zip(before, helpers.weights_of(encoder), strict=True):
        np.testing.assert_array_equal(one, other)
    trained = keras.saving.load_model(tmp_path / "run/encoder.keras")
    kernels = [np.array(m.trainable_weights[0]) for m in (encoder, trained)]
    np.testing.assert_allclose(*kernels, atol=1e-6)
    assert trained.input_shape == (None, None, None, 3)


def test_parts_that_cannot_be_compared_are_told(tmp_path, capsys):
    class Loss(own_run.Spread):
        def __init__(self, hidden):
            super().__init__()

    def encoder(shape):
        images = keras.Input(shape)
        x = keras.layers.Lambda(lambda x: x / 255)(images)
        return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))

    parts = dict(encoder=encoder(SHAPE), data=own_run.data().pretrain)
    constant = dict(schedule="constant", warmup_epochs=0, steps_per_epoch=1)
    for epochs in (1, 2):
        recipe = own_run.recipe(epochs=epochs, **constant)
        mv.training.run(recipe, tmp_path / "run", loss=Loss(epochs), **parts)
    printed = capsys.readouterr().out
    assert (
        "Not compared with the run so far: a lambda of `encoder`, the settings of "
        in (printed)
    )
    assert "Loss, which has no `get_config` of `loss`" in printed


@pytest.mark.parametrize(
    "parts, settings, message",
    [
        (dict(encoder=3), {}, "`encoder` must be a keras.Model.*Received: encoder=3"),
        (dict(encoder=keras.Model), {}, "`encoder` must be a keras.Model"),
        (dict(loss="mse"), {}, "`loss` must be a keras.losses.Loss"),
        (dict(loss=keras.losses.MeanSquaredError()), {}, "losses of Keras compare"),
        (dict(views=keras.layers.Flatten()), {}, "`views` must be RandomViews"),
        (dict(callbacks=[3]), {}, "`callbacks` must be a list of Keras callbacks"),
        (dict(loss=own_run.Spread()), dict(beta=0.5), "Received: beta=0.5"),
        (dict(views=own_run.make_views), dict(views=8), "Received: views=8"),
        (
            dict(encoder=helpers.small_encoder),
            dict(backbone="tiny"),
            "`backbone` does not apply where `encoder` is given",
        ),
        (dict(data=np.zeros((9, 8, 8, 3))), dict(fraction=0.5), "fraction=0.5"),
        (dict(data=np.zeros((9, 8, 8, 3))), dict(dataset="shapes"), "`dataset` does"),
        ({}, dict(dataset=None), "Name the data in the recipe, or give `data`"),
    ],
)
def test_wrong_parts_are_refused(parts, settings, message):
    base = dict(dataset=None if "data" in parts else "shapes")
    with pytest.raises(ValueError, match=message):
        OwnParts(**parts).check(Recipe(**base | settings))


def test_data_are_taken_as_other_libraries_have_them():
    images, labels = np.zeros((8, *SHAPE), "uint8"), np.arange(8).reshape(8, 1)
    given = mv.data.Splits("mine", images, [images, labels], (images, labels), SHAPE)
    splits = OwnParts(data=given).splits()
    assert splits.train[1].shape == splits.test[1].shape == (8,)
    splits.fingerprint()
    tensor = keras.ops.convert_to_tensor(images)
    assert isinstance(OwnParts(data=tensor).splits().pretrain, np.ndarray)


def test_an_engine_says_what_its_views_are():
    engine = own_run.make_views(SHAPE)
    recipe = OwnParts(views=engine).with_views(Recipe(dataset="shapes"))
    assert (recipe.views, recipe.augment) == (own_run.VIEWS, "device")
    assert recipe.augmentation == engine.augmentation
    OwnParts(views=engine).check(recipe)  # as `Recipe.from_config` has it


def test_a_run_of_more_epochs_is_that_run_from_the_start(tmp_path, capsys):
    constant = dict(schedule="constant", warmup_epochs=0)
    own_run.run(tmp_path / "four", epochs=4, **constant)
    own_run.run(tmp_path / "two", epochs=2, **constant)
    results = own_run.run(tmp_path / "two", epochs=4, **constant)
    images = own_run.data().pretrain
    np.testing.assert_array_equal(
        features(tmp_path / "two", images), features(tmp_path / "four", images)
    )
    assert results["epochs"] == 4 and results["steps"] == 16
    assert json.loads((tmp_path / "two/config.json").read_text())["epochs"] == 4
    capsys.readouterr()
    own_run.run(tmp_path / "two", epochs=4, **constant)
    printed = capsys.readouterr().out
    assert "This run is complete" in printed
    assert "Not compared with it: `data`, what `encoder` makes" in printed
    with pytest.raises(ValueError, match="epochs: 4 there, 3 here"):
        own_run.run(tmp_path / "two", epochs=3, **constant)


def test_a_rate_that_has_decayed_does_not_go_on(tmp_path):
    own_run.run(tmp_path / "run", epochs=1, steps_per_epoch=1)
    with pytest.raises(ValueError, match="with init=.*run/encoder.keras.*1 there, 2"):
        own_run.run(tmp_path / "run", epochs=2, steps_per_epoch=1)


def test_a_run_begins_with_saved_weights(tmp_path):
    encoder = helpers.small_encoder(SHAPE)
    helpers.set_numbered_weights(encoder)
    encoder.save(tmp_path / "encoder.keras")
    recipe = own_run.recipe(init=tmp_path / "encoder.keras", dataset="mine")
    made = OwnParts(encoder=helpers.small_encoder, data=own_run.data())
    made.check(recipe)
    model = mv.training.build(recipe, own=made).model
    images = own_run.data().pretrain
    np.testing.assert_allclose(
        model.encoder.predict(images, verbose=0),
        encoder.predict(images, verbose=0),
        atol=1e-4,
    )
    model.save(tmp_path / "model.keras")  # its encoder is taken
    other = helpers.small_encoder(SHAPE)
    take_weights(other, tmp_path / "model.keras")
    np.testing.assert_array_equal(other.get_weights()[0], encoder.get_weights()[0])


def test_saved_weights_that_do_not_fit_are_refused(tmp_path):
    encoder = helpers.small_encoder(SHAPE)
    larger = helpers.small_encoder((*SHAPE[:2], 4))
    larger.save(tmp_path / "larger.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ValueError, match="init=.*number 1 is .*4, 4, 4, 16.* there"):
        take_weights(encoder, tmp_path / "larger.keras")
    with pytest.raises(ValueError, match="Received: init=.*text.keras"):
        take_weights(encoder, tmp_path / "text.keras")
    with pytest.raises(ValueError, match="Received: init=.*missing.keras"):
        take_weights(encoder, tmp_path / "missing.keras")
    brighter = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Rescaling(-3.0, 90), *encoder.layers[1:]]
    )
    brighter.save(tmp_path / "brighter.keras")
    with pytest.warns(UserWarning, match="returns other features than the saved"):
        take_weights(encoder, tmp_path / "brighter.keras")


def test_encoders_are_saved_with_open_sizes():
    encoder = helpers.small_encoder(SHAPE)
    saved = with_open_sizes(encoder)
    larger = np.zeros((2, 40, 24, 3), "uint8")
    assert saved.predict(larger, verbose=0).shape == (2, 16)
    flat = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten()])
    assert with_open_sizes(flat) is flat
    images = keras.Input(SHAPE)
    place = keras.layers.Add()([images, np.ones((1, *SHAPE), "float32")])
    pooled = keras.layers.GlobalAveragePooling2D()(place)
    placed = keras.Model(images, pooled)
    assert with_open_sizes(placed) is placed


def test_a_copy_has_frozen_layers_and_weights():
    encoder = helpers.small_encoder(SHAPE)
    encoder.layers[1].trainable = False
    copy = copied(encoder)
    assert not copy.layers[1].trainable
    for one, other in zip(encoder.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_text_changes_parts_of_an_augmentation():
    base = mv.views.Augmentation.preset("stl10")
    found = changed(base, "crop_area=0.3:1, hue=0.1")
    assert found == dataclasses.replace(base, crop_area=(0.3, 1.0), hue=0.1)
    recipe = Recipe(dataset="shapes", augmentation="flip=0")
    recipe.check()
    assert recipe.augmentation_for((20, 30, 3)) == mv.views.Augmentation(
        size=(20, 30), flip=0.0
    )
    for text, message in {
        "hues=1": "with 'hues'",
        "size=8": "`view_size`",
        "hue=1:2": "`hue` in `augmentation` must be a number",
        "crop_area=1": "must be low:high",
        "hue=0.1,hue=0.2": "'hue' twice",
        "hue=3": "hue=3.0",
    }.items():
        with pytest.raises(ValueError, match=message):
            Recipe(dataset="shapes", augmentation=text).check()


@pytest.mark.slow
def test_two_devices_train_own_parts_like_one(tmp_path):
    script = helpers.ROOT / "tests/programs/own_run.py"
    for devices in (1, 2):
        result = helpers.run_script(script, devices, tmp_path / str(devices))
        assert result.returncode == 0, result.stderr
        found = json.loads((tmp_path / str(devices) / "results.json").read_text())
        assert found["batch_statistics"] == "of images" and "lags" in result.stderr
    images = own_run.data().pretrain
    one, two = (features(tmp_path / str(x), images) for x in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-3)
    stopped = helpers.run_script(script, 2, tmp_path / "stopped", 6)
    assert stopped.returncode == 75, stopped.stderr
    again = helpers.run_script(script, 2, tmp_path / "stopped")
    assert again.returncode == 0, again.stderr
    np.testing.assert_array_equal(features(tmp_path / "stopped", images), two)


@pytest.mark.slow
def test_a_network_of_keras_trains(tmp_path):
    network = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, include_top=False, weights=None, pooling="avg"
    )
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), "uint8")
    recipe = own_run.recipe(epochs=1, steps_per_epoch=1)
    found = mv.training.run(recipe, tmp_path / "run", encoder=network, data=images)
    assert found["backbone"] == network.name
    saved = keras.saving.load_model(tmp_path / "run/encoder.keras")
    taller = np.concatenate([images, images], axis=1)
    assert saved.predict(taller, verbose=0).shape == (32, 1280)
