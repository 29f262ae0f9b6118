import errno
import json
import os
import subprocess
import sys

import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl._internal import files
from keras_mvssl.callbacks import checkpoint_store
from keras_mvssl.training import workdir as workdirs

VERSIONS = {"format": checkpoint_store.FORMAT, "stream_version": mv.stream_version}
CONFIG = {**VERSIONS, "views": 4, "beta": "auto", "devices": 1}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.mark.parametrize("resume", ["auto", "never"])
def test_a_new_folder(tmp_path, resume):
    assert workdirs.find(tmp_path / "a/b", resume) is None
    assert not (tmp_path / "a").exists()
    assert workdirs.find(tmp_path, resume) is None
    # What a run leaves that was killed as it began is no run.
    (tmp_path / ".lock").touch()
    (tmp_path / "baselines.json").write_text("{}")
    assert workdirs.find(tmp_path, resume) is None


@pytest.mark.parametrize("resume", ["auto", "must"])
def test_the_folder_of_a_run(run, resume):
    (run / "checkpoint/step-000000007").mkdir(parents=True)
    assert workdirs.find(run, resume) == CONFIG


@pytest.mark.parametrize("resume", ["auto", "never", "must"])
def test_refuses_a_folder_of_other_files(tmp_path, resume):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="holds other files.*Received: workdir="):
        workdirs.find(tmp_path, resume)
    for path in (tmp_path / "thesis.tex", tmp_path / "thesis.tex/run"):
        with pytest.raises(ValueError, match="thesis.tex is a file. Received: workdir"):
            workdirs.find(path, resume)


def test_refuses_what_resume_rules_out(run, tmp_path):
    with pytest.raises(ValueError, match="another run.*Received: resume='never'"):
        workdirs.find(run, "never")
    with pytest.raises(ValueError, match="no run to continue.*resume='must'"):
        workdirs.find(tmp_path / "new", "must")
    with pytest.raises(ValueError, match="no checkpoint.*Received: resume='must'"):
        workdirs.find(run, "must")
    with pytest.raises(ValueError, match="Received: resume='yes'"):
        workdirs.find(run, "yes")


def test_refuses_a_newer_version(run):
    (run / "config.json").write_text(json.dumps({**CONFIG, "format": 99}))
    with pytest.raises(ValueError, match="newer version.*Received: workdir="):
        workdirs.find(run, "auto")


def test_refuses_another_stream_version(run):
    (run / "config.json").write_text(json.dumps({**CONFIG, "stream_version": 99}))
    with pytest.raises(ValueError, match="workdir=.*stream_version=99, where this"):
        workdirs.find(run, "auto")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"format": "x"}'])
def test_refuses_a_damaged_configuration(run, content):
    (run / "config.json").write_text(content)
    with pytest.raises(
        ValueError, match="not that of a run that can be continued.*workdir="
    ):
        workdirs.find(run, "auto")


def test_refuses_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(ValueError, match="cannot be written to. Received: workdir="):
        workdirs.find(tmp_path / "new/run", "auto")


def test_lists_the_differences(run):
    known = workdirs.find(run, "auto")
    workdirs.refuse_other_settings(known, {"views": 4, "devices": 2, "workers": 3}, run)
    with pytest.raises(ValueError) as raised:
        workdirs.refuse_other_settings(known, {"views": 8, "beta": 0.1}, run)
    assert str(raised.value).endswith(
        f"Received: workdir={run}; views: 4 there, 8 here; beta: 'auto' there, 0.1 here"
    )


HOLD = """
import pathlib, sys
from keras_mvssl.training import workdir
with workdir.lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_and_a_killed_one_lets_go(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(helpers.ROOT)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert holder.stdout.readline() == b"held\n"
    expected = rf"under way.*process {holder.pid}.*Received: workdir="
    with pytest.raises(ValueError, match=expected), workdirs.lock(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with workdirs.lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_where_folders_cannot_be_locked_runs_go_on(tmp_path, monkeypatch):
    def fail(file):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(workdirs, "_lock", fail)
    with pytest.warns(match="cannot be locked"), workdirs.lock(tmp_path):
        pass


def test_a_file_gets_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "new/encoder.keras"
    with files.atomic_write(path) as unfinished:
        unfinished.write_text("old")
    with pytest.raises(RuntimeError), files.atomic_write(path) as unfinished:
        assert unfinished.suffix == ".keras"
        unfinished.write_text("ne")
        raise RuntimeError
    assert path.read_text() == "old"
    with files.atomic_write(path) as unfinished:
        unfinished.write_text("new")
    assert path.read_text() == "new" and len(list(path.parent.iterdir())) == 1
