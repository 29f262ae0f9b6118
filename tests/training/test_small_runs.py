"""Runs of few images, and under other global settings of Keras."""

import json

import keras
import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl.callbacks import KNNProbe


@pytest.fixture
def run(tmp_path, small_backbone):
    """Run a recipe on few images, and return its results."""

    def run(name="run", count=8, tests=8, classes=2, size=12, **settings):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (count, size, size, 3), dtype="uint8")
        labels = np.arange(count) % classes
        arrays = {"x_train": images}
        if classes:
            arrays |= {"y_train": labels, "x_test": images, "y_test": labels}
            arrays |= {key: arrays[key][:tests] for key in ("x_test", "y_test")}
        np.savez(tmp_path / "data.npz", **arrays)
        settings = {"batch_size": 4, "epochs": 1, "augment": "device"} | settings
        recipe = mv.training.Recipe(
            dataset=f"npz:{tmp_path / 'data.npz'}",
            backbone="tiny",
            projector_dim=8,
            views=2,
            **settings,
        )
        return mv.training.run(recipe, tmp_path / name)

    return run


@pytest.mark.slow
def test_a_run_of_sixteen_images(run):
    assert run(count=16, tests=16)["probe"]["final"] is not None


@pytest.mark.slow
def test_a_run_of_an_image_of_each_class_and_one_test_image(run):
    results = run(count=2, tests=1, batch_size=2, warmup_epochs=9.0)
    assert results["steps"] == 1 and results["probe"]["final"] is not None


def test_a_batch_that_is_too_large_is_named(run):
    with pytest.raises(ValueError, match="images, 8. Received: batch_size=256"):
        run(batch_size=256)


def test_neighbours_are_at_most_the_images(labelled):
    few = labelled[0][:6], labelled[1][:6]
    features = few[0].reshape(6, -1).astype("float32"), few[1]
    assert KNNProbe(few, few).measure(features, features)["knn_accuracy"] == 1
    with pytest.raises(ValueError, match="`k` must be at most 6.*Received: k=7"):
        KNNProbe(few, few, k=7)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ("float64", None, "channels_last"),
        ("float16", "mixed_bfloat16", "channels_first"),
    ],
)
def test_no_run_depends_on_global_settings(run, settings, tmp_path):
    names = ("floatx", "dtype_policy", "image_data_format")

    def found():
        return [getattr(keras.config, name)() for name in names]

    before = found()
    expected = run("expected", seed=np.int64(1), learning_rate=np.float32(0.002))
    assert found() == before
    for name, value in zip(names, settings, strict=True):
        if value is not None:
            getattr(keras.config, f"set_{name}")(value)
    try:
        given = found()
        results = run("other", seed=1, learning_rate=float(np.float32(0.002)))
        assert found() == given
    finally:
        for name, value in zip(names, before, strict=True):
            getattr(keras.config, f"set_{name}")(value)
    for name in ("loss_final", "probe"):
        assert results[name] == expected[name]
    configs = [
        json.loads((tmp_path / name / "config.json").read_text())
        for name in ("expected", "other")
    ]
    assert [x["learning_rate"] for x in configs] == [float(np.float32(0.002))] * 2


def test_an_encoder_that_cannot_be_probed_is_refused_before_the_run(tmp_path):
    views = mv.views.RandomViews(mv.views.Augmentation(size=8), views=2)
    parts = dict(views=views, data=np.zeros((32, 12, 12, 3), "uint8"))
    recipe = mv.training.Recipe(epochs=1, batch_size=16, devices=1)
    with pytest.raises(ValueError, match=r"build it for \(None, None, channels\)"):
        mv.training.run(
            recipe, tmp_path / "run", encoder=helpers.small_encoder, **parts
        )
    assert not (tmp_path / "run").exists()
