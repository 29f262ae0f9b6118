"""Several devices compute what one would; with different images on each, as always."""

import json
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

import helpers

BACKEND = keras.backend.backend()
SCRIPT = helpers.ROOT / "tests/programs/train_on_devices.py"


def train(folder, devices):
    """What the program found, `{case: {kind: arrays, flat and joined}}`."""
    out = folder / f"{devices}.npz"
    result = helpers.run_script(SCRIPT, devices, out)
    assert result.returncode == 0, result.stderr
    return read(out)


def read(path):
    found = {}
    with np.load(path) as arrays:
        for name in arrays.files:
            case, kind, _ = name.split("|")
            kinds = found.setdefault(case, {})
            kinds.setdefault(kind, []).append(arrays[name].ravel().astype("float64"))
    return {
        case: {kind: np.concatenate(parts) for kind, parts in kinds.items()}
        for case, kinds in found.items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parallel")


@pytest.fixture(scope="module")
def one(folder):
    return train(folder, 1)


def differences(one, several):
    """Of loss, direction and norm of gradients, statistics and weights."""
    a, b = one["gradient"], several["gradient"]
    norms = np.linalg.norm(a), np.linalg.norm(b)
    return {
        "logs": np.abs(several["logs"] / one["logs"] - 1).max(),
        "cosine": 1 - a @ b / np.prod(norms),
        "norm": abs(norms[1] / norms[0] - 1),
        "statistics": np.abs(one["statistics"] - several["statistics"]).max(),
        "weights": np.abs(one["weights"] - several["weights"]).max(),
    }


LIMITS = {
    "logs": 1e-4,
    "cosine": 1e-5,
    "norm": 1e-4,
    "statistics": 1e-4,
    "weights": 1e-4,
}


def check_equal(one, several):
    assert set(several) == set(one) and len(one) == 9
    for case, found in several.items():
        for name, difference in differences(one[case], found).items():
            assert difference < LIMITS[name], (case, name, difference)


MORE = 8 if BACKEND == "jax" else 4  # than CI has cores for


@pytest.mark.parametrize(
    "devices",
    [
        pytest.param(2, marks=pytest.mark.slow),
        pytest.param(MORE, marks=pytest.mark.release),
    ],
)
def test_devices_compute_what_one_would(folder, one, devices):
    check_equal(one, train(folder, devices))


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's own")
def test_workers_of_tensorflow(folder, one):
    with socket.socket() as first, socket.socket() as second:
        sockets = first, second
        for x in sockets:
            x.bind(("127.0.0.1", 0))
        workers = [f"127.0.0.1:{x.getsockname()[1]}" for x in sockets]
    paths = [str(helpers.ROOT), str(helpers.ROOT / "tests")]
    jobs = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": task}),
        }
        command = [sys.executable, "-W", "ignore", SCRIPT, "1", folder / "workers.npz"]
        jobs.append(
            subprocess.Popen(
                command, env=environment, stderr=subprocess.PIPE, text=True
            )
        )
    try:
        for job in jobs:
            _, errors = job.communicate(timeout=300)
            assert job.returncode == 0, errors
    finally:
        for job in jobs:  # The other waits for one that failed.
            job.kill()
            job.wait()
            job.stderr.close()
    check_equal(one, read(folder / "workers.npz"))
