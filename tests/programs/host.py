"""Runs scripts, each in a copy of a process that has already imported what they import.

Importing TensorFlow, Keras and KerasCV takes a core 8 seconds, and tests run some
hundred scripts. A copy made by `fork` has them at once. Nothing is computed before the
copy is made, so a script finds what it would find in a process of its own, save for
variables that are read on import: Keras' limits are set again here, and
`helpers.run_script` starts another host for another folder of TFDS. It writes jobs,
one line of JSON each, and reads two lines for each of them: the number of the process,
and the code with which it ended.
"""

import atexit
import contextlib
import json
import os
import pathlib
import runpy
import signal
import sys
import threading
import traceback
import warnings

with contextlib.suppress(ImportError):
    import torch  # noqa: F401 - after TensorFlow, it may crash.

import keras
import matplotlib
import numpy as np

import helpers
import keras_mvssl.callbacks
import keras_mvssl.report
import keras_mvssl.training  # noqa: F401

with contextlib.suppress(ImportError):
    import keras_cv  # noqa: F401
    import matplotlib.pyplot


def job_of_a_copy():
    """Return a job in a copy of this process that is made for it; end with the input.

    Only copies come back from here.
    """
    for line in sys.stdin:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX warns of any fork.
            process = os.fork()
        if process == 0:
            return json.loads(line)
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)  # what it has left
        print(os.waitstatus_to_exitcode(status), flush=True)
    sys.exit()


def prepare(job):
    """Make this process what `python *job["arguments"]` would be."""
    os.setsid()  # so that it can be ended with what it starts
    for handle, (path, flags) in enumerate(
        [
            (os.devnull, os.O_RDONLY),
            (job["stdout"], os.O_WRONLY),
            (job["stderr"], os.O_WRONLY),
        ]
    ):
        os.dup2(os.open(path, flags), handle)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["environment"])
    np.random.seed()  # Else all copies draw the same.
    if "MPLBACKEND" in os.environ:
        matplotlib.use(os.environ["MPLBACKEND"])
    for name in ("max_epochs", "max_steps_per_epoch"):
        if f"KERAS_{name.upper()}" in os.environ:
            limit = int(os.environ[f"KERAS_{name.upper()}"])
            getattr(keras.config, f"set_{name}")(limit)
    if job["most_images"]:
        helpers.draw_few_shapes(job["most_images"])


def run(arguments):
    kind = arguments[0]
    if kind == "-c":
        sys.argv = [kind, *arguments[2:]]
        sys.path[0] = ""
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    elif kind == "-m":
        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(pathlib.Path(kind).resolve().parent)
        runpy.run_path(kind, run_name="__main__")


def code_of(end):
    """Return the exit code of an exception, which is printed as Python would."""
    if not isinstance(end, SystemExit):
        traceback.print_exception(end)
        return 1
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1


def end(code):
    """End as Python does, without taking all modules apart, which takes 3 seconds."""
    threading._shutdown()  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    job = job_of_a_copy()
    prepare(job)
    try:
        run(job["arguments"])
    except BaseException as exception:
        end(code_of(exception))
    end(0)
