"""The command hears signals while it imports; other programs are left alone."""

import os
import signal
import subprocess
import sys

import pytest

import helpers

# Stands in for Keras: it is imported first, and the signal comes meanwhile.
KERAS = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n"


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "keras.py").write_text(KERAS)
    return {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{helpers.PATHS}"}


@pytest.mark.parametrize(
    "arguments, code",
    [
        (["-m", "keras_mvssl", "recipes"], 75),
        (["keras-mvssl", "recipes"], 75),
        (["-c", "import keras_mvssl", "keras_mvssl"], -signal.SIGTERM),
        (["-m", "keras_mvssl.report"], -signal.SIGTERM),
    ],
)
def test_a_signal_during_imports(arguments, code, environment, tmp_path):
    script = "from keras_mvssl.__main__ import main"
    (tmp_path / "keras-mvssl").write_text(script)
    command = [sys.executable, *arguments]
    result = subprocess.run(command, env=environment, cwd=tmp_path, timeout=60)
    assert result.returncode == code
    ignoring = helpers.ignoring([signal.SIGTERM], *command)
    result = subprocess.run(ignoring, env=environment, cwd=tmp_path, timeout=60)
    assert result.returncode not in (75, -signal.SIGTERM)
