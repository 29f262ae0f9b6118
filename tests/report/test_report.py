import html.parser
import json

import keras
import numpy as np
import pytest

import helpers
from keras_mvssl import report
from keras_mvssl.callbacks import figures
from keras_mvssl.report import diagnostics

HIDDEN = "_b"  # matplotlib leaves such labels out by default
NASTY = '<img src=x onerror=alert("1")>&$a$'


class Page(html.parser.HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def run(tmp_path):
    """A workdir of a run whose two classes have nasty names."""
    return make_run(tmp_path / "a run & <b>")


def make_run(workdir, epochs=3, views=4):
    rng = np.random.default_rng(0)
    workdir.mkdir()
    config = {
        "views": views,
        "command": f"python x.py '{NASTY}'",
        "versions": {"a": "1"},
    }
    (workdir / "config.json").write_text(json.dumps(config))
    results = {
        "probe": {"pixels": 0.111, "random_init": 0.222, "final": 0.876},
        "views_seen": 12345,
        "views_per_second": 678.9,
        "seconds": 50.0,
        "class_names": [NASTY, HIDDEN],
        "time": {"training": 40.0, "probes": 10.0},
    }
    (workdir / "results.json").write_text(json.dumps(results))
    lines = ["epoch,loss,invariance,probe_accuracy,views_seen,seconds,alpha,rankme"]
    for epoch in range(1, epochs + 1):
        accuracy = "" if epoch == 1 else f"0.{epoch}"
        lines.append(f"{epoch},9.0,0.5,{accuracy},{epoch * 100},{epoch},1.1,7.5")
    (workdir / "metrics.csv").write_text("\n".join(lines) + "\n")
    images = rng.integers(0, 256, (8, 6, 6, 3), dtype="uint8")
    np.savez(
        workdir / "diagnostics.npz",
        eigenvalues=np.arange(1, 60.0) ** -1.0,
        map=rng.normal(size=(50, 2)),
        map_share=np.array([0.5, 0.2]),
        map_labels=rng.integers(0, 2, 50),
        confusion=np.array([[5, 1], [2, 9]]),
        classes=np.array([0, 1]),
        queries=images[:2],
        query_labels=np.array([0, 1]),
        neighbors=np.stack([images[:3], images[3:6]]),
        neighbor_labels=np.array([[0, 0, 1], [1, 1, 0]]),
        knn_20=0.543,
        searched=6,
    )
    return workdir


def test_one_run(run, tmp_path):
    report.write([run], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "a run & <b>" in page.text and NASTY in page.text
    for figure in ("11.1%", "22.2%", "87.6%", "54.3%", "12,345", "679"):
        assert figure in page.text
    # Nothing of the names became a tag, and nothing is fetched or run.
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "iframe", "object"})
    sources = [a["src"] for tag, a in page.tags if tag == "img"]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    # Curves of the probe (3 axes), loss, invariance, ranks, alpha; the spectrum, map,
    # confusion, time; and two rows of four thumbnails.
    assert len(sources) == 7 + 4 + 2 * 4
    links = [a for tag, a in page.tags if tag in ("a", "link")]
    assert all(a["href"].startswith("data:") for a in links)


def test_every_label_of_a_legend_is_shown(monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_png", drawn.append)
    figures.curves({HIDDEN: ([1, 2], [3, 4]), NASTY: ([1], [1])}, "x", "y")
    figures.spectra({HIDDEN: np.arange(1, 60.0) ** -1.0})
    points = np.zeros((4, 2))
    names = {0: HIDDEN, 1: NASTY}
    figures.scatter(points, np.array([0, 1, 0, 1]), names, [0.5, 0.1])
    figures.bars({"run": {HIDDEN: 1.0, NASTY: 2.0}})
    expected = [[HIDDEN, NASTY], [f"{HIDDEN}, α = 1.00"], [HIDDEN, NASTY]]
    expected.append([HIDDEN, NASTY])
    for figure, labels in zip(drawn, expected, strict=True):
        texts = figure.axes[0].get_legend().get_texts()
        assert [text.get_text() for text in texts] == labels
        assert not any(text.get_parse_math() for text in texts)


def test_several_runs_side_by_side(run, tmp_path):
    (tmp_path / "other").mkdir()
    second = make_run(tmp_path / "other" / run.name, epochs=5, views=8)
    report.write([run, second], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "2 runs" in page.text
    for name in (f"{run.name} (1)", f"{run.name} (2)"):
        assert name in page.text
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    # What differs stands out.
    assert "<b>4</b>" in text and "<b>8</b>" in text and "<b>1</b>" not in text


def test_an_unfinished_and_unlabelled_run(tmp_path):
    (tmp_path / "config.json").write_text('{"views": 2}')
    (tmp_path / "metrics.csv").write_text("epoch,loss\n1,3.5\n")
    report.write([tmp_path], tmp_path / "report.html")
    assert "has not ended" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "file, content",
    [
        ("config.json", "[1]"),
        ("results.json", '{"probe": '),
        ("metrics.csv", "epoch,loss\n1,2,3\n"),
        ("diagnostics.npz", "PK"),
    ],
)
def test_a_damaged_file_is_named(run, tmp_path, file, content):
    (run / file).write_text(content)
    with pytest.raises(ValueError, match=f"damaged.*Received: .*{file}"):
        report.write([run], tmp_path / "report.html")


@pytest.mark.parametrize("folders", ["runs/a", []])
def test_folders_are_a_list(folders, tmp_path):
    with pytest.raises(ValueError, match="`folders`.*Received: folders="):
        report.write(folders, tmp_path / "report.html")


def test_diagnostics_of_a_single_feature(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 3), dtype="uint8")
    labels = np.arange(30) % 2
    inputs = keras.Input((4, 4, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    encoder = keras.Model(inputs, pooled[:, :1])
    found = diagnostics.collect(encoder, (images, labels), (images, labels))
    (tmp_path / "config.json").write_text("{}")
    np.savez(tmp_path / "diagnostics.npz", **found)
    report.write([tmp_path], tmp_path / "report.html")
    assert "nearest of 30 training images" in (tmp_path / "report.html").read_text()


def test_confusion_counts_by_label_and_prediction():
    found = diagnostics._confusion(np.array([3, 3, 7]), np.array([3, 7, 7]))
    np.testing.assert_array_equal(found["classes"], [3, 7])
    np.testing.assert_array_equal(found["confusion"], [[1, 1], [0, 1]])


def test_neighbors_are_shown_with_their_labels():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 4, 4, 3), dtype="uint8")
    labels = np.repeat([0, 1, 2], 10)
    encoder = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    found = diagnostics.collect(encoder, (images, labels), (images, labels))
    for kind, names in (("queries", "query_labels"), ("neighbors", "neighbor_labels")):
        pictures = found[kind].reshape(-1, 1, 4, 4, 3)
        indices = (pictures == images).all(axis=(2, 3, 4)).argmax(axis=1)
        np.testing.assert_array_equal(labels[indices], found[names].ravel())
    np.testing.assert_array_equal(found["neighbors"][:, 0], found["queries"])


def test_each_run_is_shown_with_its_own_numbers(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        figures, "curves", lambda series, x, y, *_: drawn.update({y: series}) or b""
    )
    one, other = (make_run(tmp_path / name) for name in ("one", "other"))
    results = json.loads((other / "results.json").read_text())
    results["probe"]["final"] = 0.345
    (other / "results.json").write_text(json.dumps(results))
    (other / "metrics.csv").write_text("epoch,loss\n1,3.5\n")
    report.write([one, other], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text()).text
    assert [x for x in ("87.6%", "34.5%") if page.count(x) == 1] == ["87.6%", "34.5%"]
    assert page.index("87.6%") < page.index("34.5%")
    assert drawn["loss"] == {"one": ([1, 2, 3], [9, 9, 9]), "other": ([1], [3.5])}


def test_neighbors_without_labels(tmp_path):
    rng = np.random.default_rng(0)
    images = np.repeat(rng.integers(0, 256, (15, 4, 4, 3), dtype="uint8"), 2, axis=0)
    images[1::2] //= 2  # pairs that are alike
    encoder = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    found = diagnostics.collect_unlabelled(encoder, images)
    for query, near in zip(found["queries"], found["neighbors"], strict=True):
        (index,) = np.flatnonzero((images == query).all(axis=(1, 2, 3)))
        np.testing.assert_array_equal(near[0], images[index ^ 1])
        assert not (near == query).all(axis=(1, 2, 3)).any()
    (tmp_path / "config.json").write_text("{}")
    np.savez(tmp_path / "diagnostics.npz", **found)
    report.write([tmp_path], tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert "nearest of 30" in page.text and "by class" not in page.text
    assert all("alt" in attributes for tag, attributes in page.tags if tag == "img")


def test_command_line(run, tmp_path):
    def call(*arguments):
        return helpers.run_script("-m", "keras_mvssl.report", *arguments, cwd=tmp_path)

    assert call(run).stdout.strip() == str(run / "report.html")
    assert (run / "report.html").exists()
    result = call(tmp_path)
    assert result.returncode != 0
    assert result.stderr.strip().endswith(f"Received: workdir={tmp_path}")
    assert call().returncode != 0
