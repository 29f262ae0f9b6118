"""The theory studies, run whole."""

import csv

import pytest

import helpers


def run_study(name, folder):
    script = helpers.ROOT / "recipes/studies" / f"{name}.py"
    result = helpers.run_script(script, f"--out={folder / name}")
    assert result.returncode == 0, result.stderr
    assert (folder / f"{name}.png").stat().st_size > 10_000


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.once
def test_feature_dynamics_follow_the_theorem(tmp_path):
    run_study("feature_dynamics", tmp_path)
    for row in rows_of(tmp_path / "feature_dynamics_times.csv"):
        predicted = float(row["steps_predicted"])
        assert float(row["steps"]) == pytest.approx(predicted, rel=0.05)
    last = {
        (row["network"], float(row["beta"])): float(row["singular_value_2"])
        for row in rows_of(tmp_path / "feature_dynamics.csv")
    }
    weak, strong = last["linear", 0.005], last["linear", 0.5]
    assert weak < 0.05 and strong == pytest.approx(1, abs=0.05)
    weak, strong = last["hidden layer", 0], last["hidden layer", 1]
    assert weak < 0.3 and strong == pytest.approx(1, abs=0.05)


@pytest.mark.release
def test_reformulated_loss_finds_the_span_of_the_kernel(tmp_path):
    run_study("augmentation_kernel", tmp_path)
    rows = rows_of(tmp_path / "augmentation_kernel.csv")
    largest = {row["objective"]: float(list(row.values())[-1]) for row in rows}
    assert largest["Reformulated, β = 2"] < 0.01
    assert max(largest.values()) < 0.5
