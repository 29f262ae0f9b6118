"""The study of formulas: its search, its table and its losses."""

import importlib
import json
import sys

import numpy as np
import pytest
from absl import app
from keras import ops

import helpers
import keras_mvssl as mv
from keras_mvssl import training
from losses import cases
from losses import reference
from studies.scripts import script_with_own_flags

formula, OWN = script_with_own_flags("formula")
short_runs, versions = map(
    importlib.import_module, ("common.short_runs", "common.versions")
)


def splits_of(labelled):
    images, shape = labelled[0], (12, 12, 3)
    return mv.data.Splits(
        "bright", images, labelled, labelled, shape, ("dark", "light")
    )


@pytest.fixture
def table(tmp_path):
    return short_runs.Table(tmp_path / "runs.csv")


def make_trainer(table, labelled, most_views=64):
    recipe = training.Recipe(
        dataset="shapes",
        augmentation=mv.views.Augmentation(size=12),
        augment="device",
        backbone="tiny",
        projector_dim=8,
        epochs=1,
        warmup_epochs=0.1,
    )
    return short_runs.Trainer(recipe, most_views, splits_of(labelled), table)


CELL = short_runs.Cell("mean view", 2, 4, formula.MEAN)


class Surface(short_runs.Trainer):
    """Runs whose accuracy is known: best at a rate of 32e-3 and c = 2."""

    def _train(self, cell, rate, scale, seed):
        return np.log2([rate / 32e-3, scale / 2, 1 + seed])

    def _probe(self, encoder, purpose):
        rate, scale, seed = encoder
        return 0.9 - 0.01 * rate**2 - 0.02 * scale**2 + 1e-4 * seed, float("nan")


def test_search_finds_the_best_and_tries_equally_often(table, labelled):
    for label in "ab":  # Cells do not know of each other.
        trainer = make_trainer(table, labelled)
        trainer.__class__ = Surface
        cell = short_runs.Cell(label, 2, 4, formula.MEAN)
        rate, scale = trainer.search(cell)
        assert (rate, scale) == (32e-3, 2)
        tried = {key[2:4] for key in table.rows() if key[0] == cell.name}
        assert len(tried) == short_runs.TRIALS
        assert set(short_runs.neighbors((rate, scale))) <= tried
    seeds = {key[-1] for key in table.rows()}
    assert seeds == set(short_runs.SEARCH_SEEDS)
    assert not seeds & set(short_runs.REPORTED_SEEDS)


def test_an_interrupted_study_goes_on(table, labelled):
    trainer = make_trainer(table, labelled)
    trainer.__class__ = Surface
    trainer.report(CELL, 4e-3, 1.0)
    text = table.path.read_text()
    lines = text.splitlines(keepends=True)
    table.path.write_text("".join(lines[:-2]))
    trainer.report(CELL, 4e-3, 1.0)
    again = table.path.read_text().splitlines()
    assert [line.split(",")[:7] for line in again] == [
        line.split(",")[:7] for line in text.splitlines()
    ]


def row_of(cell, **changes):
    row = dict(
        zip(short_runs.COLUMNS, (cell.name, "report", 0.004, 1.0, 0), strict=False)
    )
    rest = dict(accuracy=0.5, accuracy_16_views=0.6, seconds=1.0, commit="abc")
    return {**row, **rest, **changes}


def test_rows_of_every_cell_are_read_back(table):
    for cell in formula.CELLS:
        table.add(**row_of(cell))
    keys = [(cell.name, "report", 0.004, 1.0, 0) for cell in formula.CELLS]
    assert list(table.rows()) == keys


def test_lines_that_are_cut_are_no_rows(table):
    table.add(**row_of(CELL))
    whole = table.path.read_bytes()
    table.add(**row_of(CELL, seed=1))
    both = table.path.read_bytes()
    for end in range(len(whole), len(both) - len("abc\n")):
        table.path.write_bytes(both[:end])
        assert len(table.rows()) == 1
        table.add(**row_of(CELL, seed=2))
        assert {key[-1] for key in table.rows()} == {0, 2}


def test_reports_of_another_pair_do_not_count(table, labelled):
    trainer = make_trainer(table, labelled)
    trainer.__class__ = Surface
    for seed in short_runs.REPORTED_SEEDS:
        table.add(**row_of(formula.CELLS[0], seed=seed, accuracy=0.1))
    assert not formula.summary(table)
    best = trainer.search(formula.CELLS[0])
    assert not formula.summary(table)
    trainer.report(formula.CELLS[0], *best)
    (row,) = formula.summary(table)
    assert row["probe"]["mean"] > 0.8 and (row["learning_rate"], row["c"]) == best


@pytest.mark.usefixtures("small_backbone")
def test_runs_train_and_probe(table, labelled):
    trainer = make_trainer(table, labelled)
    searched = trainer.run(CELL, "search", 4e-3, 1.0, 100)
    reported = trainer.run(CELL, "report", 4e-3, 1.0, 0)
    assert searched == reported == 1.0  # Any encoder tells the classes apart.
    one, other = table.rows().values()
    assert np.isnan(one["accuracy_16_views"]) and other["accuracy_16_views"] == 1.0
    (held_out, kept), (train, _) = trainer.probed["search"], labelled
    assert len(held_out[0]) == 32 and len(kept[0]) == 8 and len(train) == 40
    used = np.concatenate([held_out[0], kept[0]])
    assert sorted(map(bytes, used)) == sorted(map(bytes, train))


@pytest.mark.usefixtures("small_backbone")
def test_equal_views_and_what_a_run_trains(table, labelled, monkeypatch):
    trainer = make_trainer(table, labelled, most_views=96)
    steps, losses = [], []
    fit = mv.MultiViewModel.fit

    def spy(model, *args, steps_per_epoch, **kwargs):
        steps.append(steps_per_epoch)
        losses.append(model.loss)
        return fit(model, *args, steps_per_epoch=steps_per_epoch, **kwargs)

    monkeypatch.setattr(mv.MultiViewModel, "fit", spy)
    for views, images in ((2, 4), (4, 4), (4, 2)):
        cell = short_runs.Cell("", views, images, formula.ALL)
        trainer._train(cell, 1e-3, 2.0, 0)
    assert steps == [12, 6, 12]
    assert {(loss.pairing, loss.beta) for loss in losses} == {("all", 2 / 8)}


@pytest.mark.usefixtures("small_backbone")
def test_a_training_that_diverged_counts_as_guessing(table, labelled):
    trainer = make_trainer(table, labelled)
    encoder = helpers.small_encoder((12, 12, 3))
    encoder.set_weights([np.full_like(w, np.nan) for w in encoder.get_weights()])
    assert trainer._probe(encoder, "search")[0] == 0.5
    assert trainer._probe(encoder, "report") == (0.5, 0.5)


@pytest.mark.parametrize("diagonal, rest", [("mean", "all"), ("all", "mean")])
def test_mixed_losses(diagonal, rest):
    z = cases.projections(7, 2, 5)
    terms = formula.MixedBarlowTwins(0.3, diagonal).terms(ops.convert_to_tensor(z))
    invariance, _ = reference.barlow_twins_terms(z, diagonal)
    _, redundancy = reference.barlow_twins_terms(z, rest)
    assert float(terms["invariance"]) == pytest.approx(invariance, rel=1e-5)
    assert float(terms["redundancy"]) == pytest.approx(redundancy, rel=1e-5)


def test_cells_have_the_weights_of_c():
    assert len({cell.name + str(cell.images) for cell in formula.CELLS}) == 17
    losses = {cell.label: cell.make_loss(8.0, 128) for cell in formula.CELLS}
    assert losses["VICReg"].covariance == 2.0
    for name in losses.keys() - {"VICReg"}:
        assert losses[name].beta == 8 / 128
    names = [cell.name for cell in formula.CELLS]
    assert len(set(names)) == len(names)


@pytest.fixture
def run(monkeypatch, labelled, tmp_path):
    """The study as a whole, of two cells, on a known surface."""
    monkeypatch.setattr(formula, "Trainer", Surface)
    monkeypatch.setattr(mv.data, "load", lambda *args: splits_of(labelled))
    monkeypatch.setattr(formula, "CELLS", formula.CELLS[:2])
    monkeypatch.setattr(sys, "argv", ["formula.py"])

    def start(share="1/1"):
        OWN.share, OWN.out = share, str(tmp_path)
        formula.main(["formula.py"])
        return json.loads((tmp_path / "formula-shapes.json").read_text())

    return start


def test_shares_make_a_whole(run, tmp_path):
    first = run("1/2")
    assert [row["views"] for row in first["cells"]] == [2]
    both = run("2/2")["cells"]
    assert [row["views"] for row in both] == [2, 4]
    for row in both:
        assert row["is_inside"] and row["pairs_tried"] == short_runs.TRIALS
        assert (row["learning_rate"], row["c"]) == (32e-3, 2)
        assert row["probe"]["low"] < row["probe"]["mean"] < row["probe"]["high"]
    assert (tmp_path / "formula-shapes.png").stat().st_size > 10_000
    text = (tmp_path / "formula-shapes-runs.csv").read_text()
    run()
    assert (tmp_path / "formula-shapes-runs.csv").read_text() == text


@pytest.mark.parametrize("share", ["0/2", "3/2", "1", "a/b"])
def test_shares_that_are_none(share, run):
    with pytest.raises(app.UsageError, match=f"Received: {share}"):
        run(share)


def test_results_of_another_version_are_not_added_to(run, tmp_path):
    known = run("2/2")
    path = tmp_path / "formula-shapes.json"
    path.write_text(json.dumps({**known, "stream_version": 0}))
    with pytest.raises(ValueError, match=r"Received: out=.*stream_version: 0 there"):
        run()
    versions.refuse_other_file(tmp_path / "none.json")


def test_interval_of_five_seeds():
    """Against Student's t by SciPy."""
    stats = pytest.importorskip("scipy.stats")
    values = [0.41, 0.45, 0.39, 0.47, 0.44]
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    found = formula.interval(values)
    assert (found["low"], found["high"]) == pytest.approx((low, high), rel=1e-4)
