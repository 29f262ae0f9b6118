import errno
import json
import pathlib
import sys
import warnings

import pytest

from keras_mvssl.callbacks import checkpoint_store


@pytest.fixture
def folder(tmp_path):
    return checkpoint_store.Folder(tmp_path / "checkpoint", keep=2)


def save(folder, step, **kwargs):
    def write(path):
        (path / "a.txt").write_text(f"step {step}")
        (path / "b.bin").write_bytes(bytes(100))

    folder.save(step, write, **kwargs)


def test_keeps_the_last_and_the_best(folder):
    for step in (0, 5, 10, 15):
        save(folder, step, best=5)
    assert folder.steps() == [5, 10, 15]
    latest = folder.latest()
    assert (latest / "a.txt").read_text() == "step 15"
    assert sorted(p.name for p in folder.path.iterdir()) == [
        f"step-{step:09d}" for step in (5, 10, 15)
    ]


@pytest.mark.parametrize(
    "damage, problem",
    [
        (lambda path: (path / "a.txt").write_text("step 9"), "a.txt has changed"),
        (lambda path: (path / "b.bin").write_bytes(bytes(99)), "b.bin has changed"),
        (lambda path: (path / "b.bin").unlink(), "no file: b.bin"),
        (lambda path: (path / "manifest.json").write_text('{"for'), "JSONDecodeError"),
        (lambda path: (path / "manifest.json").write_bytes(b"\xff\x00"), "Unicode"),
        (lambda path: (path / "manifest.json").write_text("[]"), "TypeError"),
        (lambda path: (path / "manifest.json").unlink(), "no such file"),
    ],
)
def test_falls_back_to_the_one_before(folder, damage, problem):
    save(folder, 1)
    save(folder, 2)
    damage(folder.latest())
    with pytest.warns(match=f"(?s)step-000000002 is damaged .*{problem}"):
        assert folder.latest().name == "step-000000001"


@pytest.mark.parametrize("name", ["../mine", "{mine}", "", "..", "a/b.txt", "a\\b"])
def test_manifests_name_files_of_their_own_folder(folder, tmp_path, name):
    save(folder, 1)
    mine = tmp_path / "checkpoint/mine"
    mine.write_text("dear")
    path = folder.latest() / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["sha256"] = {name.format(mine=mine): manifest["sha256"]["a.txt"]}
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="is damaged .*is no name of a file in it"):
        folder.latest()


def test_links_are_damaged_checkpoints_and_are_not_followed(folder, tmp_path):
    save(folder, 1)
    save(folder, 2)
    mine = tmp_path / "mine"
    second = folder.latest()
    (second / "a.txt").rename(mine)
    (second / "a.txt").symlink_to(mine)
    with pytest.warns(match="a.txt is a link"):
        assert folder.latest().name == "step-000000001"
    elsewhere = tmp_path / "elsewhere"
    second.rename(elsewhere)
    for name in ("step-000000002", "damaged-2", ".removed-1", ".unfinished-3"):
        (folder.path / name).symlink_to(elsewhere)
    with pytest.warns(match="step-000000002 is a link"):
        assert folder.latest().name == "step-000000001"
    folder.set_aside_after(1)
    save(folder, 3)
    save(folder, 4)
    assert folder.steps() == [3, 4] and len(list(elsewhere.iterdir())) == 3
    assert mine.read_text() == "step 2"


def test_folders_of_other_names_are_left_alone(folder):
    save(folder, 1)
    for name in ("step-7", "step-٣", "step-0000000002"):
        (folder.path / name).mkdir()
    assert folder.steps() == [1] and folder.latest().name == "step-000000001"
    folder.set_aside_after(1)
    assert (folder.path / "step-7").exists()


def test_damaged_ones_are_set_aside_more_than_once(folder):
    for _ in range(2):
        save(folder, 1)
        save(folder, 2)
        folder.set_aside_after(1)
        assert folder.steps() == [1] and (folder.path / "damaged-2").exists()


def test_nothing_begins_anew_where_all_are_damaged(folder):
    save(folder, 1)
    (folder.latest() / "a.txt").unlink()
    with pytest.raises(ValueError, match="none is whole.*Received: .*no file: a"):
        folder.latest()
    folder.set_aside_after(0)  # as earlier versions of the package did
    with pytest.raises(ValueError, match="none is whole.*damaged-1"):
        folder.latest()


@pytest.mark.parametrize("function", ["os.listdir", "io.open", "os.stat"])
def test_an_error_that_may_pass_is_no_damage(folder, monkeypatch, function):
    save(folder, 1)
    save(folder, 2)
    module, name = (sys.modules[function[:2]], function[3:])
    real = getattr(module, name)

    def fail(path, *args, **kwargs):
        if "checkpoint" in str(path):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, fail)
        if name == "open":
            patch.setattr("builtins.open", fail)
        with pytest.raises(OSError, match="checkpoint"):
            folder.latest()
    assert folder.latest().name == "step-000000002"


def test_a_failure_to_write_leaves_those_before(folder):
    save(folder, 1)

    def fail(path):
        (path / "a.txt").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        folder.save(2, fail)
    assert [p.name for p in folder.path.iterdir()] == ["step-000000001"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert folder.latest().name == "step-000000001"


def test_what_a_kill_left_is_removed(folder):
    save(folder, 1)
    for name in (".unfinished-2", ".removed-0"):
        (folder.path / name).mkdir()
        (folder.path / name / "a.txt").write_text("half")
    assert folder.steps() == [1]
    save(folder, 2)
    assert folder.steps() == [1, 2] and len(list(folder.path.iterdir())) == 2


def test_syncs_files_before_the_name(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(checkpoint_store, "flush_to_disk", seen.append)
    rename = pathlib.Path.rename
    monkeypatch.setattr(
        pathlib.Path,
        "rename",
        lambda path, target: (seen.append("renamed"), rename(path, target)),
    )
    save(folder, 1)
    assert {"a.txt", "b.bin", "manifest.json", ".unfinished-1"} == {
        path.name for path in seen[: seen.index("renamed")]
    }
    assert seen[-1] == folder.path


def test_refuses_a_newer_version(folder):
    save(folder, 1)
    path = folder.latest() / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "format": checkpoint_store.FORMAT + 1}))
    with pytest.raises(ValueError, match="newer version.*Received: .*step-000000001"):
        folder.latest()
