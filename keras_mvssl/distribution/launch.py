"""Processes of PyTorch, one for each device: started by this package, or by torchrun.

Processes that this package starts find each other by a file in a folder that only their
user may enter. torchrun would have them use a port that is open to the network.
"""

import atexit
import ctypes
import os
import pathlib
import signal
import sys
import tempfile
import warnings

from keras_mvssl.distribution.loopback import stay_on_loopback

# The exit code of a run that was asked to stop and can be continued. In sysexits.h, 75
# means "temporary failure; the user is invited to retry".
INTERRUPTED_EXIT_CODE = 75
# Names in the environment of processes that this package starts. The others, such as
# RANK, are those of torchrun.
FOLDER, LAUNCHER = "KERAS_MVSSL_JOB_FOLDER", "KERAS_MVSSL_LAUNCHER"
POLL_INTERVAL = 0.1  # seconds, as torchrun's
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
        _end_with_launcher()
        path = pathlib.Path(os.environ[FOLDER]) / "store"
        where["store"] = dist.FileStore(str(path), count)
        where.update(rank=int(os.environ["RANK"]), world_size=count)
    dist.init_process_group("nccl" if gpus else "gloo", **where)
    # A process that exits with its process group sometimes aborts, which replaces its
    # exit code.
    atexit.register(_leave)
    return here


def start(count):
    """Run this script again in `count` processes, and exit as they do."""
    from torch.distributed.elastic import multiprocessing as elastic
    from torch.distributed.elastic.multiprocessing.api import SignalException

    main = sys.modules["__main__"]
    if getattr(main, "__file__", None) is None or main.__spec__ is not None:
        raise ValueError(
            "`data_parallel` can start only a script, `python FILE`, as several "
            "processes. Start other programs with "
            f"`torchrun --nproc_per_node={count}`. "
            f"Received: sys.argv[0]={sys.argv[0]!r}"
        )
    # The folder goes last: processes write into it until they have ended.
    with tempfile.TemporaryDirectory(prefix="keras_mvssl_") as folder:
        processes = None
        try:
            processes = elastic.start_processes(
                "process",
                sys.executable,
                args={rank: ("-u", *sys.argv) for rank in range(count)},
                envs={rank: _environment(rank, count, folder) for rank in range(count)},
                logs_specs=elastic.DefaultLogsSpecs(log_dir=f"{folder}/logs"),
            )
            failures = processes.wait(period=POLL_INTERVAL).failures
        except SignalException as stop:
            # The processes save their state before they end; a second signal ends them.
            if processes is not None:
                try:
                    processes.close(stop.sigval)
                except SignalException:
                    processes.close()
            sys.exit(INTERRUPTED_EXIT_CODE)
    if not failures:
        sys.exit(0)
    rank, failure = min(failures.items(), key=lambda item: item[1].timestamp)
    if failure.exitcode == INTERRUPTED_EXIT_CODE:
        sys.exit(INTERRUPTED_EXIT_CODE)
    sys.exit(
        f"Process {rank} of {count} ended with code {failure.exitcode}; the others "
        "were stopped. The message of the process is above."
    )


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


def _end_with_launcher():
    """Have Linux stop this process when the launcher ends, even if it is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        os.kill(int(os.environ[LAUNCHER]), 0)  # raises if it has ended already


def _leave():
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
