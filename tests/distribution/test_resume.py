"""A run goes on with another number of devices."""

import csv

import numpy as np
import pytest

import helpers

pytestmark = pytest.mark.slow
SCRIPT = helpers.ROOT / "tests/programs/resume_on_devices.py"


def train(folder, devices, step, on_device):
    folder.mkdir(exist_ok=True)
    where = "on device" if on_device else "in tf.data"
    result = helpers.run_python("-W", "ignore", SCRIPT, devices, folder, step, where)
    assert result.returncode == 0, result.stderr
    with np.load(folder / f"{step}.npz") as arrays:
        return np.concatenate([arrays[name].ravel() for name in arrays.files])


def loss(path):
    with open(path, newline="") as file:
        (row,) = csv.DictReader(file)
    return float(row["loss"])


@pytest.mark.parametrize("on_device", [True, False])
def test_five_steps_on_another_number_of_devices(tmp_path, on_device):
    half = train(tmp_path / "one", 1, 5, on_device)
    whole = train(tmp_path / "one", 1, 10, on_device)
    assert np.abs(whole - half).max() > 0.02
    train(tmp_path / "two", 2, 5, on_device)
    changed = train(tmp_path / "two", 1, 10, on_device)
    np.testing.assert_allclose(changed, whole, atol=1e-4)
    one, other = (loss(tmp_path / name / "metrics.csv") for name in ("one", "two"))
    assert other == pytest.approx(one, rel=1e-4)
