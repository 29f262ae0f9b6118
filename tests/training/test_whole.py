"""Runs whose files are gone, cut short, or could not be written."""

import errno
import os
import shutil

import numpy as np
import pytest

import keras_mvssl as mv
from keras_mvssl._internal import files
from keras_mvssl.training import whole
from programs import full_disk


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "x.npz"
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3)).astype("uint8")
    np.savez(path, x_train=images)
    return mv.training.Recipe(
        dataset=f"npz:{path}",
        backbone="tiny",
        augment="device",
        views=2,
        epochs=1,
        batch_size=8,
        projector_dim=8,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, recipe):
    folder = tmp_path_factory.mktemp("finished")
    mv.training.run(recipe, folder)
    return folder


@pytest.fixture
def run(tmp_path, finished):
    """A copy of a finished run."""
    return shutil.copytree(finished, tmp_path / "run")


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


DAMAGES = {
    "encoder.keras is missing": lambda run: (run / "encoder.keras").unlink(),
    "encoder.keras has changed": lambda run: cut(run / "encoder.keras"),
    "results.json has changed": lambda run: cut(run / "results.json"),
    "results.json is missing": lambda run: (run / "results.json").unlink(),
    "metrics.csv has changed": lambda run: cut(run / "metrics.csv"),
    "diagnostics.npz is missing": lambda run: (run / "diagnostics.npz").unlink(),
    "report.html has changed": lambda run: cut(run / "report.html"),
}


@pytest.mark.slow
@pytest.mark.parametrize("problem", DAMAGES)
def test_what_is_not_whole_is_made_again(recipe, run, finished, problem, capsys):
    DAMAGES[problem](run)
    mv.training.run(recipe, run)
    assert problem in capsys.readouterr().out
    assert not whole.what_is_wrong(run)
    assert full_disk.weights(run) == full_disk.weights(finished)
    mv.training.run(recipe, run)
    assert "This run is complete" in capsys.readouterr().out


@pytest.mark.parametrize("problem", DAMAGES)
def test_every_damage_is_found(run, finished, problem):
    DAMAGES[problem](run)
    (named,) = whole.what_is_wrong(run).items()
    assert " ".join(named) == problem and not whole.what_is_wrong(finished)


@pytest.mark.parametrize("problem", list(DAMAGES)[:3])
def test_a_run_without_checksums_must_be_readable(run, problem):
    (run / whole.FILE).unlink()
    assert whole.is_finished(run) and not whole.what_is_wrong(run)
    DAMAGES[problem](run)
    assert whole.what_is_wrong(run).keys() == {problem.split()[0]}


def test_without_checkpoints_nothing_begins_anew(recipe, run):
    for name in os.listdir(run / "checkpoint"):
        os.rename(run / "checkpoint" / name, run.parent / name)
    mv.training.run(recipe, run)  # It is complete without them.
    cut(run / "encoder.keras")
    before = (run / "metrics.csv").read_text()
    with pytest.raises(ValueError, match="checkpoint.*Received: .*encoder.keras"):
        mv.training.run(recipe, run)
    assert (run / "metrics.csv").read_text() == before


@pytest.mark.parametrize("kept", ["metrics.csv", "encoder.keras"])
def test_a_run_whose_checkpoints_are_gone_does_not_begin_anew(recipe, run, kept):
    for name in {"checkpoint", "results.json", whole.FILE, "metrics.csv"} - {kept}:
        os.rename(run / name, run.parent / name)
    before = (run / kept).read_bytes()
    with pytest.raises(ValueError, match=f"no checkpoint.*workdir=.*{kept}"):
        mv.training.run(recipe, run)
    assert (run / kept).read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["baselines.json", "diagnostics.npz", "report.html"])
def test_a_run_does_without_some_files(recipe, tmp_path, finished, name):
    with (
        full_disk.no_room_for(name),
        pytest.warns(match=f"{name} could not be written"),
    ):
        mv.training.run(recipe, tmp_path / "run")
    assert full_disk.weights(tmp_path / "run") == full_disk.weights(finished)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["encoder.keras", "results.json"])
def test_what_must_not_be_lost_is_tried_again(recipe, tmp_path, finished, name):
    run = tmp_path / "run"
    with (
        full_disk.no_room_for(name),
        pytest.warns(match=f"{name}.*tried again at the end"),
        pytest.raises(OSError, match=f"training is over.*Received: .*{name}"),
    ):
        mv.training.run(recipe, run)
    assert not (run / name).exists()
    mv.training.run(recipe, run)
    assert full_disk.weights(run) == full_disk.weights(finished)


def test_errors_name_the_file_and_not_its_first_name(tmp_path):
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*/a.json'$") as error,
        files.atomic_write(tmp_path / "a.json"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert error.value.errno == errno.ENOSPC and not list(tmp_path.iterdir())
