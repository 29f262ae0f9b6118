"""Files that commit bb62354 wrote, before the package was laid out as it is now.

Each archive holds, of one backend, the folder of a run that was stopped after its first
step, and the encoder and results of the same run when it was not stopped.
"""

import functools
import importlib
import json
import tarfile

import keras
import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl import training
from keras_mvssl._internal import stream_version

ARCHIVES = helpers.ROOT / "tests/training/earlier_runs"


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """The unpacked archive of the backend; its network was narrow, to be small."""
    backend = keras.backend.backend()
    with tarfile.open(ARCHIVES / f"{backend}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    build = importlib.import_module("keras_mvssl.training.build")
    narrow = functools.partial(mv.models.TinyResNet, width=8)
    monkeypatch.setitem(build.BACKBONES, "tiny", narrow)
    return tmp_path / backend


@pytest.fixture
def recipe(tmp_path):
    images = (np.arange(48 * 8 * 8 * 3) * 7919 % 251).reshape(48, 8, 8, 3)
    labels = np.arange(48, dtype="int32") % 2
    images[labels == 1] //= 2
    images = images.astype("uint8")
    parts = dict(x_train=images, y_train=labels, x_test=images, y_test=labels)
    np.savez(tmp_path / "data.npz", **parts)
    return training.Recipe(
        dataset="cifar10",
        data_dir=str(tmp_path / "data.npz"),
        augmentation=mv.views.Augmentation(size=8),
        augment="device",
        backbone="tiny",
        projector_dim=4,
        views=2,
        epochs=2,
        steps_per_epoch=2,
        batch_size=16,
        checkpoint_steps=1,
    )


def test_a_run_goes_on_and_its_encoder_loads(earlier, recipe):
    config = json.loads((earlier / "run/config.json").read_text())
    assert "stream_version" not in config and config["steps_per_execution"] == 1
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


def test_a_complete_run_is_not_repeated_and_its_checkpoint_loads(earlier, recipe):
    workdir = earlier / "run"
    (earlier / "results.json").rename(workdir / "results.json")
    (workdir / "report.html").touch()
    results = training.run(recipe, workdir, resume="must")
    assert results == json.loads((workdir / "results.json").read_text())
    (checkpoint,) = (workdir / "checkpoint").glob("step-*")
    model = keras.saving.load_model(checkpoint / "model.keras")
    assert int(model.views.step) == 1


def test_another_stream_version_is_refused(earlier, recipe, monkeypatch):
    monkeypatch.setattr(stream_version, "STREAM_VERSION", 2)
    monkeypatch.setattr(stream_version, "CHANGES", {2: "views draw other numbers"})
    before = sorted(path.name for path in (earlier / "run").iterdir())
    with pytest.raises(
        ValueError,
        match="Since then: views draw other numbers.*still loads. "
        "Received: workdir=.*stream_version=1, where this version has 2",
    ):
        training.run(recipe, earlier / "run")
    assert sorted(path.name for path in (earlier / "run").iterdir()) == before


def test_several_steps_per_execution_are_refused(earlier, recipe):
    path = earlier / "run/config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "steps_per_execution": 4}))
    with pytest.raises(ValueError, match="steps_per_execution: 4 there, 1 here"):
        training.run(recipe, earlier / "run")
