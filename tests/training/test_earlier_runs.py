"""Runs that earlier commits wrote.

Each archive holds, of one backend, the folder of a run that was stopped after its first
step, and the encoder and results of the same run when it was not stopped. Those of the
present stream version are by `programs/keep_run.py`, those of version 1 by commit
bb62354, with a tiny ResNet.
"""

import json
import tarfile

import keras
import numpy as np
import pytest

import keras_mvssl as mv
from keras_mvssl import training
from keras_mvssl.callbacks import checkpoint_content
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
    for name in ("steps", "views_seen", "updates", "beta", "pairing", "probe"):
        assert results[name] == whole[name]
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


def test_a_run_of_another_stream_version_is_refused_and_its_models_load(
    tmp_path, recipe
):
    earlier = unpack(1, tmp_path)
    before = sorted(path.name for path in (earlier / "run").iterdir())
    with pytest.raises(
        ValueError,
        match="Since then: `RandomViews` draws other numbers.*still loads. Received: "
        f"workdir=.*stream_version=1, where this version has {mv.stream_version}",
    ):
        training.run(recipe, earlier / "run")
    assert sorted(path.name for path in (earlier / "run").iterdir()) == before
    encoder = keras.saving.load_model(earlier / "encoder.keras")
    images = np.load(recipe.data_dir)["x_test"]
    again = mv.models.TinyResNet((8, 8, 3), width=8)
    again.set_weights(encoder.get_weights())
    kept, found = (model.predict(images, verbose=0) for model in (encoder, again))
    np.testing.assert_allclose(found, kept, atol=1e-2 * kept.std())
    (checkpoint,) = (earlier / "run/checkpoint").glob("step-*")
    model = keras.saving.load_model(checkpoint / "model.keras")
    assert int(model.views.step) == 1
    with pytest.raises(ValueError, match="cannot be continued.*checkpoint="):
        checkpoint_content.restore(checkpoint, model, {}, steps_per_epoch=2)
