"""A run goes on with another number of devices."""

import csv

import numpy as np
import pytest

import helpers

pytestmark = pytest.mark.slow
SCRIPT = helpers.ROOT / "tests/programs/resume_on_devices.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs on one device, and one that goes on there after steps on two."""
    folder = tmp_path_factory.mktemp("resumed")
    for devices, *stops in ((2, "two:5"), (1, "one:5", "one:10", "two:10")):
        result = helpers.run_script(SCRIPT, devices, folder, *stops)
        assert result.returncode == 0, result.stderr
    return folder


def weights(path):
    with np.load(path) as arrays:
        return np.concatenate([arrays[name].ravel() for name in arrays.files])


def loss(path):
    with open(path, newline="") as file:
        (row,) = csv.DictReader(file)
    return float(row["loss"])


@pytest.mark.parametrize("engine", ["on device", "kerascv"])
def test_five_steps_on_another_number_of_devices(folder, engine):
    half = weights(folder / engine / "one/5.npz")
    whole = weights(folder / engine / "one/10.npz")
    assert np.abs(whole - half).max() > 0.02
    changed = weights(folder / engine / "two/10.npz")
    np.testing.assert_allclose(changed, whole, atol=1e-4)
    one, other = (
        loss(folder / engine / f"{run}/metrics.csv") for run in ("one", "two")
    )
    assert other == pytest.approx(one, rel=1e-4)
