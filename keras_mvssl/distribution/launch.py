"""Processes of PyTorch, one for each device: started by this package, or by torchrun.

Processes that this package starts find each other by a file in a folder that only their
user may enter. torchrun would have them use a port that is open to the network.
"""

import atexit
import contextlib
import ctypes
import functools
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import warnings

from keras_mvssl._internal import signals
from keras_mvssl.distribution.loopback import stay_on_loopback

# Names in the environment of processes that this package starts. The others, such as
# RANK, are those of torchrun.
FOLDER, LAUNCHER = "KERAS_MVSSL_JOB_FOLDER", "KERAS_MVSSL_LAUNCHER"
STOPPED = "stopped"  # a file in the folder of the job
POLL_INTERVAL = 0.1  # seconds, as torchrun's
# Seconds that the processes of a job have when the first of them has ended.
SECONDS_TO_END = 30
PR_SET_PDEATHSIG = 1  # of Linux's sys/prctl.h


def is_worker():
    """Return whether this is a process that `start` or torchrun has started."""
    return FOLDER in os.environ or "TORCHELASTIC_RUN_ID" in os.environ


def join():
    """Connect this process with the others of its job.

    Returns:
        The number of processes of this machine.
    """
    import torch
    import torch.distributed as dist

    # PyTorch deprecates these functions, but their replacements are still private.
    warnings.filterwarnings("ignore", "torch.distributed.nn.functional", FutureWarning)
    here, count = (int(os.environ[x]) for x in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    gpus = torch.cuda.device_count()
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if here == count:
        stay_on_loopback()
    where = {}  # torchrun says where by its own variables.
    if FOLDER in os.environ:
        folder = pathlib.Path(os.environ[FOLDER])
        signals.AT_FIRST_SIGNAL.append((folder / STOPPED).touch)
        where["store"] = dist.FileStore(str(folder / "store"), count)
        where.update(rank=int(os.environ["RANK"]), world_size=count)
    elif sys.platform == "linux":
        _end_with_parent(ctypes.CDLL(None).prctl, os.getppid())  # torchrun
    dist.init_process_group("nccl" if gpus else "gloo", **where)
    # A process that exits with its process group sometimes aborts, which replaces its
    # exit code.
    atexit.register(_leave)
    return here


def start(count):
    """Run this script again in `count` processes, and exit as they do.

    Signals are passed on to the processes, and one that has failed or was asked to stop
    ends the job.
    """
    command = _command(sys.modules["__main__"])
    if command is None:
        raise ValueError(
            "`data_parallel` can start only a script, `python FILE`, or the command of "
            "this package as several processes. Start other programs with "
            f"`torchrun --nproc_per_node={count}`. "
            f"Received: sys.argv[0]={sys.argv[0]!r}"
        )
    heard = []
    # The folder goes last: processes write into it until they have ended.
    with (
        tempfile.TemporaryDirectory(prefix="keras_mvssl_") as folder,
        signals.on_signals(
            heard.append, repeat=True, names=(*signals.NAMES, "SIGQUIT")
        ),
        _started(command, count, folder) as workers,
    ):
        sys.exit(_wait_for(workers, heard, pathlib.Path(folder) / STOPPED))


def _command(main):
    """Return the arguments of Python that run this program again, or None."""
    if getattr(main, "__file__", None) is None:
        return None
    if main.__spec__ is None:
        return sys.argv
    # `python -m` of another module may be a tool, such as pytest, that runs a function.
    if main.__spec__.name == "keras_mvssl.__main__":
        return ["-m", "keras_mvssl", *sys.argv[1:]]
    return None


def _wait_for(workers, heard, stopped):
    """Wait until all processes have ended.

    Args:
        workers: The processes, of `subprocess.Popen`.
        heard: Names of signals that this process receives, in a list that grows.
        stopped: File that a process makes at its first signal.

    Returns:
        What this process exits with.
    """
    message, deadline = 0, None
    while any(worker.poll() is None for worker in workers):
        while heard:
            _send(workers, getattr(signal, heard.pop(0)))
            message = signals.INTERRUPTED_EXIT_CODE
        ended = [worker.poll() for worker in workers]
        if deadline is None and (any(ended) or (message and 0 in ended)):
            # The others cannot go on without it.
            deadline = time.monotonic() + SECONDS_TO_END
            if not message:
                message = _message(ended, stopped)
                _send(workers, signal.SIGTERM)
        if deadline is not None and time.monotonic() > deadline:
            _send(workers, getattr(signal, "SIGKILL", signal.SIGTERM))
        time.sleep(POLL_INTERVAL)
    codes = [worker.poll() for worker in workers]
    return message if message and any(codes) else _message(codes, stopped)


def _message(codes, stopped):
    """Return what the launcher exits with, by the codes of the first that ended."""
    failed = [rank for rank, code in enumerate(codes) if code]
    # Where one was stopped, another may fail first: it cannot reach the one that ends.
    if signals.INTERRUPTED_EXIT_CODE in codes or (failed and stopped.exists()):
        return signals.INTERRUPTED_EXIT_CODE
    if not failed:
        return 0
    return (
        f"Process {failed[0]} of {len(codes)} ended with code {codes[failed[0]]}; the "
        "others were stopped. The message of the process is above."
    )


@contextlib.contextmanager
def _started(command, count, folder):
    """Start the processes of a job; kill those that are left if this process fails."""
    workers = []
    before_exec = None
    if sys.platform == "linux":
        before_exec = functools.partial(
            _end_with_parent, ctypes.CDLL(None).prctl, os.getpid()
        )
    try:
        for rank in range(count):
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-u", *command],
                    env={**os.environ, **_environment(rank, count, folder)},
                    # Ctrl-C in a terminal reaches a worker by the launcher alone.
                    start_new_session=True,
                    preexec_fn=before_exec,
                )
            )
        yield workers
    finally:
        _send(workers, getattr(signal, "SIGKILL", signal.SIGTERM))
        for worker in workers:
            worker.wait()


def _send(workers, number):
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(number)


def _environment(rank, count, folder):
    return {
        FOLDER: folder,
        LAUNCHER: str(os.getpid()),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        # Each process would take all cores.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }


def _end_with_parent(prctl, parent):
    """Have Linux stop this process when its parent ends, even if that is killed.

    A child runs this between fork and exec, where it may import nothing.
    """
    prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:  # It has ended already.
        os._exit(signals.INTERRUPTED_EXIT_CODE)


def _leave():
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
