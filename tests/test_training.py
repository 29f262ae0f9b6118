import csv
import dataclasses
import json

import helpers
import keras
import numpy as np
import pytest

from keras_mvssl import training
from keras_mvssl.views import Augmentation


@pytest.fixture
def recipe(tmp_path, labelled):
    images, labels = labelled
    data = tmp_path / "data.npz"
    np.savez(data, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return training.Recipe(
        dataset=f"npz:{data}",
        augmentation=Augmentation(size=12),
        by_views={2: {"beta": 0.5}},
        backbone="tiny",
        projector_dim=8,
        views=3,
        epochs=3,
        batch_size=16,
        probe_every=2,
    )


def test_run_leaves_everything_in_its_folder(recipe, tmp_path, labelled, capsys):
    workdir = tmp_path / "run"
    results = training.run(recipe, workdir)
    assert results == json.loads((workdir / "results.json").read_text())
    assert results["probe"]["final"] == 1.0
    assert set(results["probe"]) == {"pixels", "random_init", "final"}
    assert (results["steps"], results["views_seen"]) == (6, 6 * 16 * 3)
    assert results["backend"] == keras.backend.backend()
    assert results["beta"] == 4 / 8

    with open(workdir / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [bool(row["probe_accuracy"]) for row in rows] == [False, True, True]
    assert float(rows[-1]["loss"]) == pytest.approx(results["loss_final"])

    config = json.loads((workdir / "config.json").read_text())
    assert config["augmentation"]["size"] == [12, 12]
    encoder = keras.saving.load_model(workdir / "encoder.keras")
    model = keras.saving.load_model(workdir / "checkpoint/model.keras")
    np.testing.assert_allclose(
        encoder.predict(labelled[0], verbose=0),
        model.encoder.predict(labelled[0], verbose=0),
        atol=1e-5,
    )
    assert list((workdir / "tensorboard").iterdir())
    printed = capsys.readouterr().out
    assert "random init" in printed and str(workdir / "encoder.keras") in printed


def test_the_same_seed_gives_the_same_run(recipe, tmp_path):
    losses = [
        training.run(recipe, tmp_path / name)["loss_final"] for name in ("a", "b")
    ]
    other = dataclasses.replace(recipe, seed=1)
    assert losses[0] == losses[1] != training.run(other, tmp_path / "c")["loss_final"]


def test_a_run_without_labels(recipe, tmp_path, labelled):
    np.savez(tmp_path / "x.npz", x_train=labelled[0])
    recipe = dataclasses.replace(recipe, dataset=f"npz:{tmp_path / 'x.npz'}", epochs=1)
    results = training.run(recipe, tmp_path / "run")
    assert results["probe"] == {"pixels": None, "random_init": None, "final": None}


def test_views_bring_their_settings(recipe):
    assert recipe.with_settings(views=2).beta == 0.5
    assert recipe.with_settings(views=2, beta=0.1).beta == 0.1
    assert recipe.with_settings(views=4, epochs=None).epochs == 3


def test_refuses_a_folder_in_use(recipe, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used/config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds another run.*workdir=.*used"):
        training.run(recipe, tmp_path / "used")


@pytest.mark.parametrize(
    "change",
    [
        dict(views=1),
        dict(batch_size=1),
        dict(epochs=0),
        dict(projector_dim=0),
        dict(backbone="vgg"),
        dict(beta=-1.0),
        dict(pairing="none"),
        dict(fraction=1.5),
        dict(learning_rate=-1.0),
        dict(steps_per_epoch=0),
        dict(batch_size=41),
    ],
)
def test_refuses_bad_settings_and_leaves_no_folder(recipe, tmp_path, change):
    (name, value), *_ = change.items()
    with pytest.raises(ValueError, match=f"Received: {name}={value!r}"):
        training.run(dataclasses.replace(recipe, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_command_line(tmp_path):
    recipe = helpers.ROOT / "recipes/shapes.py"
    result = helpers.run_python(recipe, "--vews=2", cwd=tmp_path)
    assert (
        result.returncode == 1 and "Unknown command line flag 'vews'" in result.stderr
    )
    assert "Did you mean" in result.stderr and not list(tmp_path.iterdir())
    result = helpers.run_python(recipe, "views=2", cwd=tmp_path)
    assert result.returncode == 1 and "not flags: ['views=2']" in result.stdout
    help_text = helpers.run_python(recipe, "--help").stdout
    assert "Views of each image." in help_text
