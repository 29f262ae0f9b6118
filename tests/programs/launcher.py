"""Has the launcher of PyTorch's processes start two that need nothing but Python.

    python launcher.py [SECONDS]: how long they take to save when they are stopped

Each says that it is there with its number, and tells what it does.
"""

import os
import sys

if "KERAS_MVSSL_JOB_FOLDER" not in os.environ:
    from keras_mvssl.distribution import launch

    launch.start(2)

import importlib.util
import pathlib
import time

path = pathlib.Path(__file__).parents[2] / "keras_mvssl/_internal/signals.py"
spec = importlib.util.spec_from_file_location("signals", path)
signals = sys.modules["signals"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(signals)

asked = []
with signals.on_signals(asked.append):
    print("ready", os.getpid(), flush=True)
    until = time.monotonic() + 60
    while not asked and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(float(sys.argv[1]))
    print("saved after", *asked, flush=True)
    sys.exit(75)
