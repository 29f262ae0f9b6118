"""A run goes on with another number of devices."""

import pathlib

import numpy as np
import pytest

import helpers

pytestmark = pytest.mark.slow
SCRIPT = pathlib.Path(__file__).parent / "resume.py"


def train(folder, devices, step, on_device):
    folder.mkdir(exist_ok=True)
    where = "on device" if on_device else "in tf.data"
    result = helpers.run_python("-W", "ignore", SCRIPT, devices, folder, step, where)
    assert result.returncode == 0, result.stderr
    with np.load(folder / f"{step}.npz") as arrays:
        return np.concatenate([arrays[name].ravel() for name in arrays.files])


@pytest.mark.parametrize("on_device", [True, False])
def test_five_steps_on_another_number_of_devices(tmp_path, on_device):
    half = train(tmp_path / "one", 1, 5, on_device)
    whole = train(tmp_path / "one", 1, 10, on_device)
    assert np.abs(whole - half).max() > 0.02
    for first, second in ((2, 1), (1, 2)):
        folder = tmp_path / f"{first} to {second}"
        train(folder, first, 5, on_device)
        np.testing.assert_allclose(
            train(folder, second, 10, on_device), whole, atol=1e-4
        )
        rows = [(tmp_path / x / "metrics.csv").read_text() for x in ("one", folder)]
        losses = [
            dict(zip(*(line.split(",") for line in text.splitlines()), strict=True))
            for text in rows
        ]
        assert float(losses[0]["loss"]) == pytest.approx(
            float(losses[1]["loss"]), rel=1e-4
        )
