"""Reports, and runs that go on, of files that anyone may have written."""

import html.parser
import io
import json
import os

import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl import report
from keras_mvssl._internal import files
from keras_mvssl.callbacks import checkpoint_store
from keras_mvssl.callbacks import figures
from keras_mvssl.report import contents
from keras_mvssl.training import workdir as workdirs
from keras_mvssl.training.baselines import Baselines


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def written(run):
    """Return the tags and the attributes of the report of a run, and its text."""
    found, text = [], []
    path = run.parent / "report.html"
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, attributes))
    parser.handle_data = text.append
    report.write([run], path)
    parser.feed(path.read_text(encoding="utf-8"))
    return found, "".join(text)


@pytest.mark.parametrize("value", helpers.JSON_VALUES, ids=lambda x: f"{x!r:.9}")
def test_any_type_may_stand_anywhere(run, value):
    keys = ["probe", "views_seen", "views_per_second", "seconds", "class_names", "time"]
    keys += [
        {"probe": "final"},
        {"time": helpers.NASTY},
        "command",
        "versions",
        helpers.NASTY,
    ]
    for file in ("config.json", "results.json"):
        for key in keys:
            content = {key: value} if isinstance(key, str) else {}
            if not content:
                ((outer, inner),) = key.items()
                content = {outer: {inner: value}}
            (run / file).write_text(json.dumps(content))
            try:
                tags, _ = written(run)
            except ValueError as error:
                assert f"Received: path={run / file}" in str(error), error
            else:
                assert not {"script", "a"} & {tag for tag, _ in tags}
            (run / file).write_text("{}")


@pytest.mark.parametrize("value", helpers.JSON_VALUES, ids=lambda x: f"{x!r:.9}")
def test_a_run_does_not_go_on_with_any_type(run, value):
    known = {"format": checkpoint_store.FORMAT, "stream_version": mv.stream_version}
    for content in (
        value,
        known | {"format": value},
        known | {"stream_version": value},
    ):
        (run / "config.json").write_text(json.dumps(content))
        try:
            found = workdirs.find(run, "auto")
            workdirs.refuse_other_settings(found, {"views": 2}, run)
        except ValueError as error:
            assert f"workdir={run}" in str(error)
        else:
            raise AssertionError(content)
    config = dict.fromkeys(Baselines.DEPENDS_ON, 1)
    kept = {"of": config, "probe": {"pixels": value}}
    for content in (value, kept, kept | {"probe": value}):
        (run / "baselines.json").write_text(json.dumps(content))
        assert set(Baselines(run, config).find().values()) <= {0, 1}  # or nothing


def test_files_that_are_no_json_are_named(run):
    for content in (b"[" * 100_000, b"\xff", b""):
        (run / "a.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"Received: path=.*a.json"):
            files.read_json(run / "a.json")
        (run / "results.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"Received: path=.*results.json"):
            written(run)
    (run / "results.json").unlink()
    os.mkfifo(run / "results.json")  # To read it would wait forever.
    with pytest.raises(ValueError, match=r"Received: path=.*results.json"):
        written(run)


def png(width=4, height=3):
    return figures.picture(np.zeros((height, width, 3), "uint8"))


def test_a_whole_picture_is_shown(run):
    (run / "views.png").write_bytes(png())
    tags, text = written(run)
    assert [tag for tag, _ in tags].count("img") == 1 and "left out" not in text


def other_format():
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "bmp")
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        helpers.NASTY.encode("utf-8", "replace"),
        png()[:-20],
        other_format(),
        png(9, 8),
    ],
    ids=["empty", "text", "cut", "format", "large"],
)
def test_a_picture_that_is_none_is_left_out(run, content, monkeypatch):
    monkeypatch.setattr(contents, "MAX_PIXELS", 71)
    (run / "views.png").write_bytes(content)
    tags, text = written(run)
    assert "img" not in [tag for tag, _ in tags] and "views.png was left out" in text


@pytest.mark.filterwarnings("ignore")  # of matplotlib, about what is drawn
def test_arrays_of_any_shape_are_named(run):
    images = np.zeros((2, 4, 4, 3), "uint8")
    right = {
        **{"map": np.zeros((3, 2)), "map_share": np.zeros(2), "searched": 3},
        **{"eigenvalues": np.ones(5), "queries": images, "neighbors": images[:, None]},
    }
    np.savez(run / "diagnostics.npz", **right)
    written(run)
    for name in right:
        for wrong in (np.zeros(()), np.zeros((2, 2, 2)), np.array(["a"])):
            np.savez(run / "diagnostics.npz", **right | {name: wrong})
            try:
                written(run)
            except ValueError as error:
                assert str(run) in str(error)


def test_pictures_are_as_many_as_a_run_has(run):
    images = np.zeros((50, 2, 2, 3), "uint8")
    arrays = {"map": np.zeros((3, 2)), "map_share": np.zeros(2), "searched": 3}
    arrays |= {"queries": images, "neighbors": np.stack([images] * 50)}
    np.savez(run / "diagnostics.npz", **arrays)
    tags, _ = written(run)
    assert len([tag for tag, _ in tags if tag == "img"]) == 1 + 6 * (1 + 8)
