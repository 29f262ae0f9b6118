"""Runs that earlier commits wrote.

Each archive holds, of one backend, the folder of a run that was stopped after its first
step, and the encoder and results of the same run when it was not stopped. Those of
version 2 on are by `programs/keep_run.py`, those of version 1 by commit bb62354, with a
tiny ResNet.
"""

import json
import tarfile

import keras
import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl import training
from keras_mvssl.callbacks import checkpoint_content
from keras_mvssl.callbacks.carried import Carried
from programs import keep_run


def unpack(version, folder):
    backend = keras.backend.backend()
    archive = keep_run.ROOT / f"stream_{version}" / f"{backend}.tar.xz"
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder / backend


@pytest.fixture
def earlier(tmp_path, small_backbone):
    return unpack(mv.stream_version, tmp_path)


@pytest.fixture
def recipe(tmp_path):
    return keep_run.recipe(tmp_path)


def test_a_run_goes_on_and_its_encoder_loads(earlier, recipe):
    results = training.run(recipe, earlier / "run", resume="must")
    whole = json.loads((earlier / "results.json").read_text())
    # Processors round differently, and a ReLU turns roundings into other weights.
    assert results["loss_final"] == pytest.approx(whole["loss_final"], rel=1e-3)
    for name in ("steps", "views_seen", "updates", "beta", "pairing"):
        assert results[name] == whole[name]
    probe = whole["probe"]
    assert {name: results["probe"][name] for name in probe} == probe
    kept, found = (
        keras.saving.load_model(path / "encoder.keras")
        for path in (earlier, earlier / "run")
    )
    images = np.load(recipe.data_dir)["x_test"]
    kept, found = (model.predict(images, verbose=0) for model in (kept, found))
    np.testing.assert_allclose(found, kept, atol=1e-2 * kept.std())


def test_a_complete_run_is_not_repeated(earlier, recipe):
    workdir = earlier / "run"
    (earlier / "results.json").rename(workdir / "results.json")
    (workdir / "report.html").touch()
    results = training.run(recipe, workdir, resume="must")
    assert results == json.loads((workdir / "results.json").read_text())


def stage_3(encoder):
    # Version 3 pads sizes that are odd by another rule: 1x1 after this stage.
    return keras.Model(encoder.input, encoder.get_layer("stage3_block1_relu").output)


@pytest.mark.parametrize(
    "version, change",
    [
        (1, "`RandomViews` draws other numbers.*; encoders pad strided layers"),
        (2, "encoders pad strided layers by one rule"),
        (3, "Barlow Twins compares with the mean view at 2 views"),
        (4, "image files with transparent parts"),
    ],
)
def test_a_run_of_another_stream_version_is_refused_and_its_models_load(
    version, change, tmp_path, recipe
):
    earlier = unpack(version, tmp_path)
    before = sorted(path.name for path in (earlier / "run").iterdir())
    with pytest.raises(
        ValueError,
        match=f"Since then: {change}.*still loads. Received: workdir=.*"
        f"stream_version={version}, where this version has {mv.stream_version}",
    ):
        training.run(recipe, earlier / "run")
    assert sorted(path.name for path in (earlier / "run").iterdir()) == before
    encoder = keras.saving.load_model(earlier / "encoder.keras")
    if version == 1:
        again = mv.models.TinyResNet((8, 8, 3), width=8)
    else:
        again = helpers.small_encoder((8, 8, 3))
    again.set_weights(encoder.get_weights())
    if version == 1:
        encoder, again = stage_3(encoder), stage_3(again)
    images = np.load(recipe.data_dir)["x_test"]
    kept, found = (model.predict(images, verbose=0) for model in (encoder, again))
    np.testing.assert_allclose(found, kept, atol=1e-2 * kept.std())
    (checkpoint,) = (earlier / "run/checkpoint").glob("step-*")
    model = keras.saving.load_model(checkpoint / "model.keras")
    assert int(model.views.step) == 1
    with pytest.raises(ValueError, match="cannot be continued.*checkpoint="):
        checkpoint_content.restore(checkpoint, model, {}, 2, Carried([]), {})
