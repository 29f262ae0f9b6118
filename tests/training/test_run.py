import csv
import dataclasses
import importlib
import json
import shutil
import signal
from unittest import mock

import keras
import numpy as np
import pytest

import helpers
from keras_mvssl import callbacks
from keras_mvssl import distribution
from keras_mvssl import training
from keras_mvssl.views import Augmentation

# The package has a function of this name.
BUILD = importlib.import_module("keras_mvssl.training.build")


@pytest.fixture
def recipe(labelled_npz, small_backbone):
    return training.Recipe(
        dataset=f"npz:{labelled_npz}",
        augmentation=Augmentation(size=12),
        backbone="tiny",
        projector_dim=8,
        views=3,
        epochs=3,
        batch_size=16,
        probe_every=2,
    )


@pytest.fixture
def labelled_npz(tmp_path, labelled):
    images, labels = labelled
    path = tmp_path / "data.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return path


@pytest.mark.slow
def test_run_leaves_everything_in_its_folder(recipe, tmp_path, labelled, capsys):
    workdir = tmp_path / "run"
    with mock.patch.object(distribution, "keep_freed_memory") as keeps:
        results = training.run(recipe, workdir)
    keeps.assert_called_once()
    printed = capsys.readouterr().out
    assert "random weights" in printed and str(workdir / "encoder.keras") in printed
    names = {path.name for path in (workdir / "tensorboard").iterdir()}
    assert names > {"embedding.tsv", "labels.tsv", "sprite.png"}

    assert results == json.loads((workdir / "results.json").read_text())
    assert results["probe"]["final"] > 0.9
    names = {"pixels", "random_init", "final", "final_16_views"}
    assert set(results["probe"]) == names and results["probe"]["final_16_views"] > 0.9
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
    (latest,) = (workdir / "checkpoint").glob("step-*6")
    model = keras.saving.load_model(latest / "model.keras")
    features = [m.predict(labelled[0], verbose=0) for m in (encoder, model.encoder)]
    np.testing.assert_allclose(*features, atol=1e-5)

    page = (workdir / "report.html").read_text()
    assert f"{results['probe']['final']:.1%}" in page and "<script" not in page
    assert (workdir / "views.png").stat().st_size > 500
    with np.load(workdir / "diagnostics.npz") as found:
        assert found["confusion"].sum() == 40 and found["knn_20"] > 0.9
    assert set(rows[-1]) >= {"knn_accuracy", "rankme", "projection_effective_rank"}
    assert set(results["time"]) >= {"training", "probes and logs", "diagnostics"}
    assert results["time"]["training"] == pytest.approx(results["seconds"], abs=0.01)

    # Warm-up over the first of three epochs, then a cosine to 0.
    rates = [float(row["learning_rate"]) for row in rows]
    np.testing.assert_allclose(rates, [1e-3, 5e-4, 0], atol=1e-6)

    # The same seed gives the same run, another one another.
    again = training.run(recipe, tmp_path / "again")
    assert again["loss_final"] == results["loss_final"]
    changed = dataclasses.replace(recipe, seed=1, fraction=0.5, pairing="all")
    other = training.run(changed, tmp_path / "other")
    assert other["loss_final"] != results["loss_final"]
    assert (other["steps"], other["pairing"]) == (3, "all")


@pytest.mark.slow
def test_a_run_too_short_for_float16_says_so(recipe, tmp_path, capsys):
    recipe = dataclasses.replace(
        recipe, augment="device", precision="float16", epochs=1, steps_per_epoch=1
    )
    results = training.run(recipe, tmp_path / "run")
    assert results["steps"] == 1
    said = "No weight changed" in capsys.readouterr().out
    assert said == (results["updates"] == 0)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_views_on_the_device(recipe, tmp_path, precision):
    recipe = dataclasses.replace(
        recipe, augment="device", precision=precision, accumulate=2, epochs=2
    )
    results = training.run(recipe, tmp_path / "run")
    assert (results["steps"], results["views_seen"]) == (4, 4 * 16 * 3)
    assert results["updates"] == 2
    assert (results["augment"], results["precision"]) == ("device", precision)
    assert results["probe"]["final"] > 0.9
    (latest,) = (tmp_path / "run/checkpoint").glob("step-*4")
    model = keras.saving.load_model(latest / "model.keras")
    assert int(model.views.step) == 4
    expected = "float32" if precision == "float32" else "mixed_bfloat16"
    assert model.encoder.layers[-1].dtype_policy.name == expected
    assert keras.config.dtype_policy().name == "float32"


WITHOUT_TENSORFLOW = """
import sys

import keras  # torch looks for TensorFlow, without importing it


class Missing:
    def find_spec(self, name, *args):
        if name.split(".")[0] in ("tensorflow", "keras_cv", "tensorflow_datasets"):
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Missing())
from keras_mvssl import training

settings = dict(dataset="cifar10", data_dir=sys.argv[1], backbone="tiny")
settings |= dict(projector_dim=8, augment="device", epochs=1, batch_size=16)
recipe = training.Recipe(**settings)
assert training.run(recipe, sys.argv[2])["probe"]["final"] is not None
"""


@pytest.mark.once  # CI does it on JAX where TensorFlow is not installed.
def test_pretrains_without_tensorflow(labelled_npz, tmp_path):
    if keras.backend.backend() == "tensorflow":
        pytest.skip("The backend is TensorFlow.")
    arguments = labelled_npz, tmp_path / "run"
    result = helpers.run_python(
        "-c", WITHOUT_TENSORFLOW, *arguments, backend=keras.backend.backend()
    )
    assert result.returncode == 0, result.stderr


def test_bad_labels_are_found_before_the_folder_is_claimed(recipe, tmp_path, labelled):
    images, labels = labelled
    path = tmp_path / "one_class.npz"
    np.savez(path, x_train=images, y_train=labels * 0, x_test=images, y_test=labels * 0)
    with pytest.raises(ValueError, match="two classes"):
        training.run(
            dataclasses.replace(recipe, dataset=f"npz:{path}"), tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_a_run_without_labels(recipe, tmp_path, labelled):
    np.savez(tmp_path / "x.npz", x_train=labelled[0])
    recipe = dataclasses.replace(recipe, dataset=f"npz:{tmp_path / 'x.npz'}", epochs=1)
    results = training.run(recipe, tmp_path / "run")
    assert len(results["probe"]) == 4 and not any(results["probe"].values())


def test_weight_decay_spares_biases_and_batch_normalisation(recipe, model):
    BUILD.compile_model(model, recipe, steps_per_epoch=5)
    decayed = {
        v.name
        for v in model.trainable_variables
        if model.optimizer._use_weight_decay(v)
    }
    assert decayed == {"kernel"}


def test_refuses_a_folder_in_use(recipe, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used/config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds another run.*workdir=.*used"):
        training.run(recipe, tmp_path / "used", resume="never")


@pytest.fixture
def short(recipe):
    return dataclasses.replace(
        recipe, augment="device", epochs=2, steps_per_epoch=2, checkpoint_steps=1
    )


@pytest.mark.slow
def test_an_interrupted_run_goes_on(short, tmp_path, capsys, monkeypatch):
    whole = training.run(short, tmp_path / "whole")
    workdir = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(
            callbacks.ViewGallery,
            "on_train_begin",
            lambda self, logs=None: signal.raise_signal(signal.SIGTERM),
        )
        with pytest.raises(training.Interrupted):
            training.run(short, workdir)
    assert capsys.readouterr().out.endswith(
        "Stopped by SIGTERM after step 1, which is saved. To go on, start the same "
        f"again with --workdir={workdir}\n"
    )
    changed = dataclasses.replace(short, learning_rate=0.1, seed=3)
    differences = "learning_rate: 0.001 there, 0.1 here; seed: 0 there, 3 here"
    with pytest.raises(ValueError, match=f"other settings.*{differences}"):
        training.run(changed, workdir)

    # The workers do not change the result; what was computed is not repeated.
    results = training.run(dataclasses.replace(short, checkpoint_steps=2), workdir)
    assert "Linear probe on" not in capsys.readouterr().out.split("Epoch")[0]
    for name in ("loss_final", "steps", "views_seen", "updates", "probe"):
        assert results[name] == whole[name]
    one, other = (
        keras.saving.load_model(tmp_path / name / "encoder.keras").get_weights()
        for name in ("whole", "stopped")
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

    # A complete run is not repeated.
    assert training.run(short, workdir, resume="must") == results
    assert "is complete" in capsys.readouterr().out


@pytest.mark.slow
def test_killed_after_training_only_what_is_missing_is_made(short, tmp_path):
    results = training.run(short, tmp_path / "run")
    for name in ("results.json", "report.html", "encoder.keras", "diagnostics.npz"):
        (tmp_path / "run" / name).unlink()
    before = (tmp_path / "run/metrics.csv").read_text()
    again = training.run(short, tmp_path / "run")
    assert (tmp_path / "run/metrics.csv").read_text() == before
    for name in ("loss_final", "steps", "views_seen", "seconds", "probe"):
        assert again[name] == results[name]
    assert (tmp_path / "run/encoder.keras").exists()


@pytest.mark.slow
def test_other_images_under_the_same_name_are_refused(short, tmp_path, labelled):
    training.run(short, tmp_path / "run")
    (tmp_path / "run/results.json").unlink()
    path = short.dataset.removeprefix("npz:")
    images, labels = labelled
    np.savez(path, x_train=255 - images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises(ValueError, match="other settings.*data: .*crc32.*there"):
        training.run(short, tmp_path / "run")


@pytest.mark.slow
def test_nothing_is_written_outside_the_folder(labelled_npz, tmp_path):
    cwd, home, workdir = (tmp_path / name for name in ("cwd", "home", "run"))
    cwd.mkdir()
    home.mkdir()
    shutil.copy(labelled_npz, cwd / "data.npz")
    code = (
        "from keras_mvssl.training import Recipe, run; "
        "run(Recipe(dataset='npz:data.npz', backbone='tiny', projector_dim=8, epochs=1,"
        f" batch_size=16, augment='device'), {str(workdir)!r})"
    )
    own = {"HOME": str(home), "TMPDIR": str(cwd), "MPLCONFIGDIR": str(tmp_path / "mpl")}
    result = helpers.run_python("-c", code, cwd=cwd, environment=own)
    assert result.returncode == 0, result.stderr
    assert [p.name for p in cwd.iterdir()] == ["data.npz"]
    # Keras keeps its settings there, whoever imports it.
    assert {p.name for p in home.iterdir()} <= {".keras"}


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
        dict(learning_rate=0),
        dict(steps_per_epoch=0),
        dict(batch_size=41),
        dict(augment="gpu"),
        dict(precision="float8"),
        dict(accumulate=0),
        dict(workers=2, augment="device"),
        dict(data_dir="other.npz"),
    ],
)
def test_refuses_bad_settings_and_leaves_no_folder(recipe, tmp_path, change):
    (name, value), *_ = change.items()
    with pytest.raises(ValueError, match=f"Received: {name}={value!r}"):
        training.run(dataclasses.replace(recipe, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_command_line(tmp_path):
    recipe = helpers.ROOT / "recipes/shapes.py"
    result = helpers.run_script(recipe, "--viewz=2", cwd=tmp_path)
    assert (
        result.returncode == 2 and "Unknown command line flag 'viewz'" in result.stderr
    )
    assert "Did you mean" in result.stderr and result.stderr.count("\n") == 1
    result = helpers.run_script(recipe, "views=2", cwd=tmp_path)
    assert result.returncode == 2 and "not flags:" in result.stderr
    result = helpers.run_script(recipe, "--views=1", cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.endswith("Received: views=1\n")
    assert result.stderr.count("\n") == 1 and not list(tmp_path.iterdir())
    result = helpers.run_script(recipe, "--views=1", "--verbose", cwd=tmp_path)
    assert result.returncode == 2 and "Traceback" in result.stderr
    result = helpers.run_script(recipe, "--help")
    assert result.returncode == 0 and "\ndata:\n  --data_dir=<" in result.stdout
    assert result.stdout.count("auto|never|must") == 1
