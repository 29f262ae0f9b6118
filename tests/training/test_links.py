"""Nothing outside a folder is changed by what somebody else has put into it."""

import json
import os
import stat

import pytest

import keras_mvssl as mv
from keras_mvssl._internal import cache_folder
from keras_mvssl._internal import files
from keras_mvssl.callbacks import checkpoint_store
from keras_mvssl.callbacks.tensorboard import write_embedding
from keras_mvssl.training import run_files
from keras_mvssl.training import workdir as workdirs

VERSIONS = {"format": checkpoint_store.FORMAT, "stream_version": mv.stream_version}


@pytest.fixture
def mine(tmp_path):
    """A file of the user, outside the folder that somebody else has sent."""
    path = tmp_path / "mine"
    path.write_text("dear")
    yield path
    assert path.read_text() == "dear" and not path.is_symlink()


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoint/step-000000001").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(VERSIONS))
    return folder


@pytest.mark.parametrize("name", ["results.json", "new/results.json"])
def test_a_file_is_written_beside_a_link_and_replaces_it(tmp_path, mine, name):
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    path.symlink_to(mine)
    path.with_name(f".unfinished-{path.name}").symlink_to(mine)
    files.write_json(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1} and not path.is_symlink()
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_a_file_keeps_what_it_was_after_an_error(tmp_path):
    path = tmp_path / "a.npz"
    names = []
    for _ in range(2):
        with pytest.raises(KeyError), files.atomic_write(path) as unfinished:
            names.append(unfinished.name)
            raise KeyError
    assert names[0] != names[1] and not list(tmp_path.iterdir())
    os.mkfifo(tmp_path / "pipe")  # As a device it is no file, and stays.
    with pytest.raises(FileExistsError, match="Received: path=.*pipe"):
        files.write_json(tmp_path / "pipe", {})


def test_the_embedding_of_tensorboard_follows_no_link(tmp_path, mine, images):
    log_dir = tmp_path / "tensorboard"
    log_dir.mkdir()
    names = ("embedding.tsv", "labels.tsv", "sprite.png", "projector_config.pbtxt")
    for name in names:
        (log_dir / name).symlink_to(mine)
    write_embedding(log_dir, images[:, :2, 0, 0], ["a"] * 8, images)
    assert {p.name for p in log_dir.iterdir() if not p.is_symlink()} == set(names)


@pytest.mark.parametrize(
    "name",
    [
        *(*run_files.FILES, *run_files.FOLDERS),
        *("checkpoint/damaged-3", "checkpoint/step-000000001/state.npz"),
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_a_run_does_not_go_on_among_links(run, mine, name, is_new):
    path = run / name
    if path.is_dir():
        path.rename(run.parent / "elsewhere")
    path.unlink(missing_ok=True)
    path.symlink_to(mine if "." in name else run.parent)
    if is_new and name != "config.json":
        (run / "config.json").unlink()
    with pytest.raises(ValueError, match=f"{name} must be .*no link.*workdir={run}"):
        workdirs.find(run, "auto")


def test_a_run_does_not_write_over_something_else(run):
    (run / "metrics.csv").mkdir()
    with pytest.raises(ValueError, match="metrics.csv must be a file"):
        workdirs.find(run, "auto")


def test_a_folder_that_is_a_link_itself_is_fine(run, tmp_path):
    (tmp_path / "link").symlink_to(run)
    assert workdirs.find(tmp_path / "link", "auto") == VERSIONS


def test_the_lock_leads_nowhere_else(tmp_path, mine):
    run = tmp_path / "run"
    run.mkdir()
    for link in (run / ".lock").symlink_to, (run / ".lock").hardlink_to:
        link(mine)
        refused = pytest.raises(ValueError, match="lock must be a file")
        with refused, workdirs.lock(run):
            pass
        (run / ".lock").unlink()


def test_what_killed_runs_left_is_removed(run, mine):
    for name in ("0123-results.json", "metrics.csv"):
        (run / f".unfinished-{name}").write_text("half")
    (run / ".unfinished-config.json").symlink_to(mine)
    with workdirs.open_workdir(run, "auto", {}):
        assert not list(run.glob(".unfinished-*"))


def test_a_cache_behind_the_link_of_another_user_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "dear").mkdir(mode=0o700)
    (tmp_path / "keras_mvssl").symlink_to(tmp_path / "dear")
    assert cache_folder.cache_folder("x") == tmp_path / "keras_mvssl/x"  # of this user

    def of_another(path):
        found = list(os.lstat(path))
        found[stat.ST_UID] += stat.S_ISLNK(found[stat.ST_MODE])
        return os.stat_result(found)

    monkeypatch.setattr(type(tmp_path), "lstat", of_another)
    with pytest.warns(match="belongs to another user"):
        assert cache_folder.cache_folder("x") is None


PLACES = ["gs://bucket/run", "s3://b/r", "HDFS://n/r", "file:///r", "gs:/bucket"]


@pytest.mark.parametrize("place", PLACES)
def test_places_of_another_scheme_are_refused(place, tmp_path, monkeypatch, labelled):
    monkeypatch.chdir(tmp_path)
    recipe = mv.training.Recipe(dataset="npz:none.npz")  # which is refused later
    board = mv.callbacks.TensorBoard
    for name, write in {
        "workdir": lambda: mv.training.run(recipe, place),
        "folder": lambda: mv.callbacks.Checkpoint(place),
        "path": lambda: mv.callbacks.MetricsCSV(place),
        " path": lambda: mv.callbacks.ViewGallery(labelled[0], place),
        "  path": lambda: mv.report.write([tmp_path], place),
        "   path": lambda: mv.training.write_json(place, {}),
        "log_dir": lambda: board(place, embedding=labelled),
    }.items():
        with pytest.raises(ValueError, match=f"Received: {name.strip()}={place}"):
            write()
    if "://" in place:  # Its own writer takes these.
        board(place)
    assert not list(tmp_path.iterdir())


def test_the_home_of_the_user_is_no_folder_of_this_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    mv.training.write_json("~/a.json", {})
    assert (tmp_path / "home/a.json").exists()
    assert mv.callbacks.Checkpoint("~/b").folder.path == tmp_path / "home/b"
    assert files.local_path("C:/runs", "path").name == "runs"
    assert files.local_path("a:b/c", "path").name == "c"
