"""All processes of a job end at a signal, whoever gets it, whatever they wait for."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import pytest

import helpers
import sockets

BACKEND = keras.backend.backend()
PROGRAMS = helpers.ROOT / "tests/programs"
torch = pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's own")
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's own")


@contextlib.contextmanager
def started(program, *arguments, environment=None, ignored=()):
    """A program, which is killed if it does not end."""
    job = subprocess.Popen(
        helpers.ignoring(ignored, sys.executable, "-u", PROGRAMS / program, *arguments),
        env={**os.environ, "PYTHONPATH": helpers.PATHS, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield job
    finally:
        job.kill()
        job.wait()
        job.stdout.close()


def workers_of(job):
    """The numbers of both workers of `launcher.py`, when they are there."""
    ready = (line.split() for line in job.stdout if line.startswith("ready "))
    return [int(next(ready)[1]) for _ in range(2)]


def assert_gone(numbers, seconds=10):
    until = time.monotonic() + seconds
    while any(pathlib.Path(f"/proc/{number}").exists() for number in numbers):
        assert time.monotonic() < until, numbers
        time.sleep(0.05)


def end_of(job, numbers):
    """What is printed from now on, once the job has ended with 75 and none is left."""
    output, _ = job.communicate(timeout=60)
    assert job.returncode == 75, output
    assert_gone(numbers)
    return output


@torch
@linux
@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM"])
def test_the_launcher_passes_a_signal_on(name):
    with started("launcher.py", 0) as job:
        numbers = workers_of(job)
        job.send_signal(getattr(signal, name))
        assert end_of(job, numbers).count(f"saved after {name}") == 2


@torch
@linux
@pytest.mark.slow
def test_a_signal_to_all_processes_is_one():
    """As SLURM and systemd send it: a worker then gets that of the launcher, too."""
    with started("launcher.py", 3) as job:
        numbers = workers_of(job)
        for number in (*numbers, job.pid):
            os.kill(number, signal.SIGTERM)
        assert end_of(job, numbers).count("saved after SIGTERM") == 2


@torch
@linux
@pytest.mark.slow
def test_a_signal_to_one_worker_stops_the_job():
    with started("launcher.py", 0) as job:
        numbers = workers_of(job)
        os.kill(numbers[1], signal.SIGHUP)
        end_of(job, numbers)


@torch
@linux
@pytest.mark.slow
def test_the_launcher_stays_under_nohup():
    with started("launcher.py", 0, ignored=[signal.SIGHUP]) as job:
        numbers = workers_of(job)
        job.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert job.poll() is None
        job.send_signal(signal.SIGTERM)
        assert end_of(job, numbers).count("saved after SIGTERM") == 2


@torch
@linux
@pytest.mark.slow
def test_a_killed_launcher_takes_workers_that_have_not_joined():
    with started("launcher.py", 0) as job:
        numbers = workers_of(job)
        job.kill()
        job.wait()
        assert_gone(numbers)


def variables_of_a_job():
    """The environment of the first of two processes."""
    if BACKEND == "torch":
        ranks = dict.fromkeys(("RANK", "LOCAL_RANK"), "0")
        return ranks | dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), "2")
    addresses = [f"localhost:{port}" for port in sockets.free_ports(2)]
    if BACKEND == "jax":
        return {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": ",".join(addresses),
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
            "KERAS_DISTRIBUTION_PROCESS_ID": "0",
        }
    task = {"type": "worker", "index": 0}
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}


@pytest.mark.slow
def test_a_process_that_waits_for_others_hears_signals(tmp_path):
    environment = {**variables_of_a_job(), "KERAS_MVSSL_JOB_FOLDER": str(tmp_path)}
    with started("wait_for_others.py", environment=environment) as job:
        assert any(line == "waits\n" for line in job.stdout)
        time.sleep(3)
        job.send_signal(signal.SIGINT)
        output, _ = job.communicate(timeout=60)
    # TensorFlow lets no Python thread run while it waits, and drops SIGTERM.
    expected = -signal.SIGINT if BACKEND == "tensorflow" else 75
    assert job.returncode == expected, output
    assert "has met" not in output


TAKEN = """
import os, signal, sys, time
from keras_mvssl import distribution
from keras_mvssl.training import stopping

with stopping.stop_outside_of_training():
    distribution.data_parallel()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
"""


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's own")
def test_jax_does_not_keep_the_signal_that_it_takes():
    environment = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"localhost:{sockets.free_ports(1)[0]}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "1",
        "KERAS_DISTRIBUTION_PROCESS_ID": "0",
    }
    result = helpers.run_script("-c", TAKEN, environment=environment)
    assert result.returncode == 75, result.stderr
