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
    rows = rows_of(tmp_path / "feature_dynamics.csv")
    assert {row["seed"] for row in rows} == {"0", "1", "2", "3", "4"}

    def second(network, beta, step):
        return [
            float(row["singular_value_2"])
            for row in rows
            if (row["network"], row["beta"], row["step"]) == (network, beta, step)
        ]

    # Where features are drawn, one is learned at the small β, and both at the large.
    for network, step, last in (
        ("linear", "600", "5990"),
        ("hidden layer", "150", "1490"),
    ):
        for early in second(network, "0.05", step):
            assert early < 0.3
        for late in second(network, "0.05", last):
            assert late > 0.8
        for early in second(network, "1", step):
            assert early == pytest.approx(1, abs=0.05)


@pytest.mark.release
def test_reformulated_loss_finds_the_span_of_the_kernel(tmp_path):
    run_study("augmentation_kernel", tmp_path)
    rows = rows_of(tmp_path / "augmentation_kernel.csv")
    largest = {row["objective"]: float(list(row.values())[-1]) for row in rows}
    assert largest["Reformulated, β = 2"] < 0.01
    assert max(largest.values()) < 0.5
