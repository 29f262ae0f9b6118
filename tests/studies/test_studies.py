"""The studies on a grid of tiny runs."""

import csv
import dataclasses
import importlib
import json

import keras
import numpy as np
import pytest
from absl import app
from absl import flags

import helpers
from keras_mvssl import _backend
from keras_mvssl import callbacks
from keras_mvssl import data
from keras_mvssl import stream_version
from keras_mvssl import training
from keras_mvssl.training import baselines
from keras_mvssl.training.own_parts import NO_PARTS
from keras_mvssl.views import Augmentation
from studies.scripts import STUDIES
from studies.scripts import script

grid, versions = map(importlib.import_module, ("common.grid", "common.versions"))
# The package has a function of this name.
build = importlib.import_module("keras_mvssl.training.build")

TABLE = {2: {"beta": {8: 0.5}}, 8: {"beta": {8: 0.25}}}


pareto, plan, projectors, samples, search, views = map(
    script,
    ("pareto", "plan", "projector_sweep", "sample_efficiency", "search", "views"),
)


@pytest.fixture
def recipe(tmp_path, labelled, small_backbone):
    images, labels = labelled
    path = tmp_path / "data.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return training.Recipe(
        dataset=f"npz:{path}",
        augmentation=Augmentation(size=12),
        augment="device",
        backbone="tiny",
        projector_dim=8,
        epochs=1,
        batch_size=4,
        warmup_epochs=0.1,
    )


@pytest.fixture
def open_runs(recipe, tmp_path):
    flags.FLAGS.mark_as_parsed()

    def make(folder="runs", recipe=recipe, seeds=(0,), is_search=False):
        splits = data.load(recipe.dataset)
        folder = tmp_path / folder
        title = "shapes-small"
        runs = grid.Runs(title, recipe, TABLE, folder, seeds, splits, is_search)
        versions.check_manifest(runs)
        return runs

    return make


def rows_of(path):
    with open(path, newline="") as file:
        return [
            {k: v for k, v in row.items() if k != "seconds"}
            for row in csv.DictReader(file)
        ]


def test_settings_of_a_run(open_runs):
    runs = open_runs()
    recipe = runs.recipe_for(dict(views=8, fraction=0.5), seed=3)
    assert (recipe.beta, recipe.seed, recipe.views) == (0.25, 3, 8)
    # One epoch of 5 steps is cut into 4, for a curve.
    assert (recipe.epochs, recipe.steps_per_epoch) == (4, 1)
    assert recipe.warmup_epochs == pytest.approx(0.4)
    lines = projectors.settings(runs, (16, 64))
    assert [s["beta"] for s in lines["scaled"]] == pytest.approx([4 / 16, 4 / 64])
    assert [s["beta"] for s in lines["fixed"]] == pytest.approx([4 / 64, 4 / 64])


def test_random_weights_are_those_of_the_seed(recipe):
    """Runs share the probe of random weights for this reason."""

    def weights(**changes):
        keras.utils.clear_session()
        keras.utils.set_random_seed(5)
        changed = dataclasses.replace(recipe, **changes)
        augmentation = changed.augmentation_for((12, 12, 3))
        model = build._build_model(changed, augmentation, (12, 12, 3), None, NO_PARTS)
        return helpers.weights_of(model.encoder)

    for one, other in zip(weights(), weights(views=8, projector_dim=16)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_pixels_are_probed_once_and_random_weights_for_each_seed(
    open_runs, monkeypatch
):
    probed, measure = [], baselines._measure

    def count(encoder, splits, known, names):
        probed.append({"pixels", "random_init"} - known.keys())
        return measure(encoder, splits, known, names)

    monkeypatch.setattr(baselines, "_measure", count)
    runs = open_runs(seeds=(0, 1))
    found = runs.run([dict(views=2), dict(views=3)])
    assert probed == [{"pixels", "random_init"}, set(), {"random_init"}, set()]
    alone = open_runs("alone", seeds=(1,)).run([dict(views=2)])
    for run in found:
        if run.seed == 1:
            for name in ("pixels", "random_init"):
                expected = alone[0].results["probe"][name]
                assert run.results["probe"][name] == expected


def test_a_probe_that_was_not_made_is_made(open_runs, recipe):
    runs = open_runs()
    whole, half = {"pixels": 0.4, "random_init": 0.3}, {"pixels": 0.4}
    for name, seed, known in (("a", 1, half), ("b", 1, whole), ("c", 2, half)):
        content = {"of": {"seed": seed}, "probe": known}
        training.write_json(runs.folder / name / baselines.FILE, content)
    for seed, expected in ((1, whole), (2, half), (3, half)):
        folder = runs.folder / f"new{seed}"
        runs._share_baselines(dataclasses.replace(recipe, seed=seed), folder)
        content = json.loads((folder / baselines.FILE).read_text())
        assert content == {"of": {"seed": seed}, "probe": expected}


def test_results_made_otherwise_are_not_replaced(open_runs, tmp_path):
    runs = open_runs(seeds=(0, 1))
    known = {
        "backend": keras.backend.backend(),
        "device": _backend.device_name(),
        "stream_version": stream_version,
        "versions": {"python": "3.0", **_backend.versions()},
        "settings": [{"seeds": [0, 1]}],
    }
    path = tmp_path / "views-shapes-small.json"
    path.write_text(json.dumps(known))
    versions.refuse_other_results(tmp_path, runs)
    for other, message in (
        ({"backend": "numpy"}, "backend: 'numpy' there"),
        ({"versions": {"keras": "3.0"}}, "keras: '3.0' there"),
        ({"stream_version": 0}, "stream_version: 0 there"),
        ({"settings": [{"seeds": [0, 1, 2]}]}, r"seeds: \[0, 1, 2\] there"),
    ):
        path.write_text(json.dumps({**known, **other}))
        with pytest.raises(ValueError, match=f"Received: out=.*json: .*{message}"):
            versions.refuse_other_results(tmp_path, runs)


def test_another_version_is_refused(open_runs, recipe, monkeypatch, tmp_path):
    open_runs()
    open_runs()
    other = dataclasses.replace(recipe, batch_size=8)
    message = "Received: workdir=.*; batch_size: 4 there, 8 here$"
    with pytest.raises(ValueError, match=message):
        open_runs(recipe=other)
    with np.load(recipe.dataset[4:]) as arrays:
        darker = {name: array // 2 * (name[0] == "x") for name, array in arrays.items()}
    np.savez(tmp_path / "other.npz", **darker)
    other = dataclasses.replace(recipe, dataset=f"npz:{tmp_path / 'other.npz'}")
    with pytest.raises(ValueError, match="; data: "):
        open_runs(recipe=other)
    with monkeypatch.context() as patch:
        patch.setattr("keras_mvssl.__version__", "0.0.1")
        with pytest.raises(ValueError, match="; version: '0.1.0' there, '0.0.1' here$"):
            open_runs()
    folder = open_runs().folder
    manifest = folder / "manifest.json"
    known = json.loads(manifest.read_text())
    assert known["stream_version"] == stream_version
    manifest.write_text(json.dumps({**known, "stream_version": 0}))
    with pytest.raises(ValueError, match="; stream_version: 0 there, . here$"):
        open_runs()
    (folder / "views=2,seed=0").mkdir()
    (folder / "views=2,seed=0/config.json").write_text("{}")
    manifest.unlink()
    with pytest.raises(ValueError, match="no manifest.json.*Received: workdir="):
        open_runs()


def test_an_older_manifest_is_that_of_stream_version_1(open_runs, monkeypatch):
    path = open_runs().folder / "manifest.json"
    known = json.loads(path.read_text())
    del known["stream_version"]
    path.write_text(json.dumps({**known, "steps_per_execution": 1}))
    for version in (1, 2):
        now = {**training.provenance(), "stream_version": version}
        monkeypatch.setattr(training, "provenance", lambda now=now: now)
        if version == 1:
            open_runs()
            continue
        with pytest.raises(ValueError, match="; stream_version: 1 there, 2 here$"):
            open_runs()


@pytest.mark.once
def test_an_interrupted_study_goes_on(open_runs, tmp_path, monkeypatch):
    settings = [dict(views=2), dict(views=3)]
    expected = open_runs("whole").run(settings)

    measure, calls = callbacks.LinearProbe.measure, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 7:  # in the third epoch of the second run
            raise KeyboardInterrupt
        return measure(*args)

    runs = open_runs("parts")
    monkeypatch.setattr(callbacks.LinearProbe, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.run(settings)
    assert len(runs.finished_runs()) == 1
    found = open_runs("parts").run(settings)
    assert len(calls) < 16  # eight epochs, and what was lost
    for before, after in zip(expected, found):
        assert after.setting == before.setting
        names = "epoch", "views_seen", "accuracy"
        curves = [
            [[row[n] for n in names] for row in run.curve] for run in (before, after)
        ]
        assert curves[0] == curves[1]
        assert after.results["probe"] == before.results["probe"]


@pytest.mark.once
def test_studies_share_their_runs(open_runs, tmp_path, monkeypatch):
    made, run = [], training.run
    monkeypatch.setattr(
        training, "run", lambda *args, **kwargs: made.append(1) or run(*args, **kwargs)
    )
    for module in (views, samples):
        monkeypatch.setattr(module, "VIEWS", (2, 4))
    monkeypatch.setattr(samples, "FRACTIONS", (1.0, 0.5))
    monkeypatch.setattr(projectors, "PROJECTOR_DIMS", {"small": (4, 8)})
    monkeypatch.setattr(pareto, "SETTINGS", [(2, 1.0), (4, 0.5)])
    monkeypatch.setattr(pareto, "ERROR_STEP", 0.02)
    out = tmp_path / "out"
    out.mkdir()
    counts = []
    for module in (views, samples, projectors, pareto):
        module.study(open_runs(), out)
        counts.append(len(made))
    assert counts == [2, 4, 6, 6]
    names = "views", "sample_efficiency", "projector_sweep", "pareto"
    for name in names:
        path = out / f"{name}-shapes-small"
        assert path.with_suffix(".png").stat().st_size > 10_000
        written = json.loads(path.with_suffix(".json").read_text())
        assert str(tmp_path) not in path.with_suffix(".json").read_text()
        for row in written["settings"]:
            assert row["seeds"] == [0] and row["probe"]["mean"] > 0.4
        rows = rows_of(path.with_suffix(".csv"))
        assert len(rows) == 5 * len(written["settings"])
    assert len(written["settings"]) == 6
    known = plan.recorded(out, "shapes-small")
    assert len(known) == 6
    # Started again, nothing is trained and the results are the same.
    before = rows_of(out / "pareto-shapes-small.csv")
    pareto.study(open_runs(), out)
    assert rows_of(out / "pareto-shapes-small.csv") == before and len(made) == 6


@pytest.mark.once
def test_the_search_stays_away_from_the_reported_seeds(
    open_runs, tmp_path, monkeypatch
):
    with pytest.raises(app.UsageError, match="first_seed=100"):
        search.study(open_runs("reported"), tmp_path)
    monkeypatch.setattr(search, "VIEWS", (2,))
    monkeypatch.setattr(search, "LEARNING_RATES", (1e-3, 1e-9))
    monkeypatch.setattr(search, "BETA_SCALES", (4.0,))
    runs = open_runs(seeds=(100,), is_search=True)
    search.study(runs, tmp_path)
    written = json.loads((tmp_path / "search-shapes-small.json").read_text())
    first, second, *_, last = written["rows"]
    assert (first["learning_rate"], second["learning_rate"]) == (1e-3, 1e-9)
    assert last["views"] == 2 and last["chosen"]["c"] == 4.0
    assert written["seeds"] == [100] and len(runs.finished_runs()) == 2
    # Test images have no say: they are probed where a run begins and where it ends.
    curve = runs.finished_runs()[0].curve
    assert len(first["validation"]) == 1 and len(curve) == 2
    with pytest.raises(ValueError, match="probe_every: 4 there, 1 here$"):
        open_runs()


def test_the_search_takes_the_lowest_rate_where_they_are_level():
    assert search.choose_rate({1: 0.795, 2: 0.8145, 4: 0.821, 8: 0.8225}) == 2
    assert search.choose_rate({1: 0.59, 2: 0.6, 4: 0.55}) == 1
    assert search.choose_rate({1: 0.5, 2: 0.6, 4: 0.55}) == 2


def test_frontier_and_costs_of_errors():
    points = np.array([[3, 0.2], [1, 0.5], [2, 0.6], [4, 0.2], [5, 0.1], [1, 0.7]])
    np.testing.assert_array_equal(
        pareto.frontier(points), [[1, 0.5], [3, 0.2], [5, 0.1]]
    )
    slow = np.array([[0, 0, 0.8], [10, 100, 0.5], [20, 200, 0.32]])
    fast = np.array([[0, 0, 0.9], [5, 100, 0.3]])
    rows = pareto.costs_of_errors([({"views": 2}, slow), ({"views": 4}, fast)])
    levels = list(dict.fromkeys(row["error"] for row in rows))
    assert levels[0] == 0.75 and levels[-1] == 0.3
    reached = {(row["error"], row["views"]): row for row in rows}
    assert reached[0.5, 2]["seconds"] == 10 and reached[0.5, 2]["images_seen"] == 50
    assert reached[0.3, 4]["seconds"] == 5 and (0.3, 2) not in reached


def test_the_plan_takes_what_is_ahead_when_the_time_is_over(recipe, tmp_path):
    header = (
        "views,fraction,projector_dim,beta,seed,epoch,views_seen,seconds,accuracy\n"
    )
    lines = [
        f"{views},{fraction},8,0.5,{seed},{epoch},{seen},1,{accuracy}\n"
        for seed in (0, 1)
        for views, fraction, points in (
            (2, 1.0, [(0, 0.1), (1000, 0.5), (2000, 0.9)]),
            (4, 0.5, [(0, 0.1), (1000, 0.7), (2000, 0.8)]),
        )
        for epoch, (seen, accuracy) in enumerate(points)
    ]
    (tmp_path / "views-toy-small.csv").write_text(header + "".join(lines))
    known = plan.recorded(tmp_path, "toy-small")
    files, seeds, seen, accuracy = known[4.0, 0.5, 8.0, 0.5]
    assert files == ["views-toy-small.csv"] and seeds == 2
    assert seen == [0, 1000, 2000] and accuracy == pytest.approx([0.1, 0.7, 0.8])
    rates = {(2, 8): 100, (4, 8): 100}
    accuracy, setting, fit = plan.choose(known, rates, 10)[0]
    assert setting[0] == 4 and accuracy == pytest.approx(0.7) and fit == 1000
    assert plan.choose(known, rates, 20)[0][1][0] == 2
    assert plan.choose(known, {(2, 8): 10, (4, 8): 200}, 20)[0][1][0] == 4
    line = plan.command("toy", recipe, setting, 100, fit)
    assert "--views=4 --fraction=0.5 --projector_dim=8" in line
    assert line.endswith("--epochs=5")  # of 12 steps of 4 images with 4 views
    short = plan.command("toy", recipe, setting, 100, 192)
    assert short.endswith("--epochs=4 --steps_per_epoch=3")


def test_measures_this_machine(recipe):
    splits = data.load(recipe.dataset)
    recipe = dataclasses.replace(recipe, views=2)
    assert plan.views_per_second(recipe, splits) > 0


def test_a_plan_needs_results(tmp_path):
    result = helpers.run_script(STUDIES / "plan.py", f"--out={tmp_path}")
    assert result.returncode == 1 and "views.py --dataset=shapes" in result.stderr
