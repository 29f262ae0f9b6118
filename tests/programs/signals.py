"""Stops a small run by each signal in each phase, and starts it again.

    KERAS_BACKEND=torch python tests/programs/signals.py FOLDER --processes=2

Each stop must end all processes of the run with code 75 and leave none. Started again,
the run must end with the weights and rows of one that was not stopped. `--targets` are:
`first`, the process that was started (with PyTorch, the launcher); `last`, one that
works for it; `all` at once; and `killed`, where the first gets SIGKILL. A table shows
what happened. Linux only.

With two processes of JAX and TensorFlow, the two are started as on two machines.
"""

import os
import signal
import sys

IS_RUN = "STOP_FOLDER" in os.environ
if __name__ == "__main__" and IS_RUN:  # as the recipes do
    for number in signal.valid_signals() & {1, 2, 15}:  # HUP, INT, TERM
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(75))

import argparse
import contextlib
import csv
import itertools
import json
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).parents[2]
PATHS = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
PHASES = (
    *("import", "join", "data", "baselines", "compile", "epoch", "probe"),
    *("checkpoint", "train end", "diagnostics", "report"),
)
SIGNALS = ("HUP", "INT", "TERM")
TIMES = {"seconds", "views_per_second", "data_wait"}  # measured, not computed
SETTINGS = (
    *("--views=2", "--batch_size=32", "--epochs=2", "--steps_per_epoch=3"),
    *("--projector_dim=8", "--augment=device", "--checkpoint_steps=1"),
)


def reach(phase):
    """Wait to be stopped, in Python, if this is the phase to be stopped in."""
    if phase != os.environ.get("STOP_IN"):
        return
    # What is reached again, after a first signal, is not waited for.
    mark = pathlib.Path(os.environ["STOP_FOLDER"]) / str(os.getpid())
    if not mark.exists():
        mark.touch()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            time.sleep(0.001)


def run():
    """Run the recipe, with a stop in one phase."""
    reach("import")
    import importlib
    import runpy

    import helpers
    from keras_mvssl import callbacks
    from keras_mvssl import data
    from keras_mvssl import distribution
    from keras_mvssl import training
    from keras_mvssl.callbacks import checkpoint_content

    def stop_before(phase, owner, name, last=False):
        function = getattr(owner, name)

        def wrapped(*args, **kwargs):
            if not last:
                reach(phase)
            found = function(*args, **kwargs)
            if last:
                reach(phase)
            return found

        setattr(owner, name, wrapped)

    module = importlib.import_module
    of_run = module("keras_mvssl.training.run")
    small = module("keras_mvssl.training.build").BACKBONES
    small["tiny"] = helpers.small_encoder
    helpers.draw_few_shapes(300)
    stop_before("join", distribution, "data_parallel")
    stop_before("data", data, "load")
    stop_before("baselines", module("keras_mvssl.training.baselines"), "_measure")
    stop_before("compile", callbacks.ViewGallery, "on_train_begin")
    stop_before("probe", callbacks.LinearProbe, "measure")
    stop_before("checkpoint", checkpoint_content, "write", last=True)
    stop_before("train end", callbacks.TensorBoard, "on_train_end")
    stop_before("diagnostics", of_run, "_diagnose")
    stop_before("report", of_run.report, "write")
    begin = callbacks.Checkpoint.on_train_batch_begin

    def begin_batch(self, batch, logs=None):
        if batch == 1:
            reach("epoch")
        begin(self, batch, logs)

    callbacks.Checkpoint.on_train_batch_begin = begin_batch
    recipe = runpy.run_path(str(ROOT / "recipes/shapes.py"))
    training.main(recipe["RECIPE"], recipe["VIEWS"])


class Job:
    """The processes of a run.

    Attributes:
        started: The processes that were started here.
    """

    def __init__(self, workdir, log, count, stop_in=None):
        self.folder = workdir.parent / "marks"
        self.folder.mkdir(exist_ok=True)
        for mark in self.folder.iterdir():
            mark.unlink()
        temporary = workdir.parent / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": PATHS,
            "PYTHONWARNINGS": "ignore",
            "STOP_FOLDER": str(self.folder),
            "TMPDIR": str(temporary),
        }
        environment.pop("STOP_IN", None)
        if stop_in:
            environment["STOP_IN"] = stop_in
        command = [sys.executable, "-u", __file__, f"--workdir={workdir}"]
        command += SETTINGS
        backend = environment.get("KERAS_BACKEND")
        if backend == "torch":
            command.append(f"--devices={count}")
        alone = count == 1 or backend == "torch"
        own = [{}] if alone else list(variables(backend, count))
        with open(log, "a") as file:
            self.started = [
                subprocess.Popen(
                    command,
                    env={**environment, **each},
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
                )
                for each in own
            ]

    def numbers(self):
        """All processes of the job that are there, the first one first."""
        found = [job.pid for job in self.started]
        for number in found:  # which grows
            with contextlib.suppress(OSError):
                path = pathlib.Path(f"/proc/{number}/task/{number}/children")
                found += map(int, path.read_text().split())
        return found

    def wait_for_mark(self, seconds):
        """Wait until a process reaches the phase; return whether one does."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if any(self.folder.iterdir()):
                # Most phases are reached by all processes, at about the same time.
                time.sleep(0.3)
                return True
            if all(job.poll() is not None for job in self.started):
                return False
            time.sleep(0.02)
        return False

    def end(self, seconds):
        """Wait for the end; return the codes, and how long it took."""
        begin = time.monotonic()
        codes = []
        for job in self.started:
            try:
                codes.append(job.wait(max(1, begin + seconds - time.monotonic())))
            except subprocess.TimeoutExpired:
                codes.append("none")
        return codes, time.monotonic() - begin

    def kill(self):
        for number in self.numbers():
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
        for job in self.started:
            job.wait()


def variables(backend, count):
    """Yield the environments of processes as on several machines."""
    import sockets

    addresses = [f"localhost:{port}" for port in sockets.free_ports(count)]
    for index in range(count):
        if backend == "jax":
            yield {
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": ",".join(addresses),
                "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
                "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
            }
        else:
            task = {"type": "worker", "index": index}
            cluster = {"worker": addresses}
            yield {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def alive(numbers, seconds=3):
    """Return which processes are still there after some seconds."""
    until = time.monotonic() + seconds
    while True:
        left = []
        for number in numbers:
            with contextlib.suppress(OSError):
                state = pathlib.Path(f"/proc/{number}/stat").read_text()
                if state.rpartition(")")[2].split()[0] != "Z":
                    left.append(number)
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.1)


def stop(workdir, log, count, phase, name, target):
    """Stop a run in a phase; return the codes, the seconds and what was left."""
    job = Job(workdir, log, count, phase)
    try:
        reached = job.wait_for_mark(120)
        numbers = job.numbers()
        chosen = {"all": numbers, "last": numbers[-1:]}.get(target, numbers[:1])
        number = signal.SIGKILL if target == "killed" else signal.Signals[f"SIG{name}"]
        for one in chosen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, number)
        codes, seconds = job.end(200)
        left = alive(numbers, 30 if target == "killed" else 3)  # They save first.
        for one in left:
            with contextlib.suppress(OSError):
                os.kill(one, signal.SIGKILL)
    finally:
        job.kill()
    return codes if reached else ["not reached", *codes], seconds, len(left)


def go_on(workdir, log, count):
    """Run to the end; return an error, if there is one, or an empty text."""
    job = Job(workdir, log, count)
    try:
        codes, _ = job.end(300)
    finally:
        job.kill()
    return "" if set(codes) == {0} else f"going on: {codes}"


def content(workdir):
    """Return the weights of a run as bytes, and the rows that are computed."""
    import zipfile

    import h5py

    weights = []
    with (
        zipfile.ZipFile(workdir / "encoder.keras") as archive,
        archive.open("model.weights.h5") as file,
        h5py.File(file) as found,
    ):
        found.visititems(
            lambda name, item: (
                weights.append((name, item[()].tobytes()))
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    with open(workdir / "metrics.csv", newline="") as file:
        rows = [
            {k: v for k, v in row.items() if k not in TIMES}
            for row in csv.DictReader(file)
        ]
    return weights, rows


def compare(workdir, whole):
    """Return what differs from the run that was not stopped, or an empty text."""
    weights, rows = content(workdir)
    if weights != whole[0]:
        return "other weights"
    return "" if rows == whole[1] else "other rows"


def check(folder, options):
    """Stop and go on in all ways; return the lines of a table."""
    folder.mkdir(parents=True, exist_ok=True)
    log, count = folder / "log.txt", options.processes
    problem = go_on(folder / "whole", log, count)
    if problem:
        sys.exit(f"The run does not work: {problem}. See {log}")
    whole = content(folder / "whole")
    wrong = 0
    names = itertools.cycle(options.signals)
    if options.few:
        ways = [
            (phase, next(names), target)
            for phase in options.phases
            for target in options.targets
        ]
    else:
        ways = itertools.product(options.phases, options.signals, options.targets)
    for index, (phase, name, target) in enumerate(ways):
        workdir = folder / f"stopped-{index}"
        codes, seconds, left = stop(workdir, log, count, phase, name, target)
        expected = {"killed": {-signal.SIGKILL}}.get(target, {75})
        problem = "" if set(codes) == expected else "other codes"
        problem = problem or (f"{left} left" if left else "")
        problem = problem or go_on(workdir, log, count) or compare(workdir, whole)
        wrong += bool(problem)
        print(
            f"{phase:12}{name:5}{target:7}{codes!s:22}{seconds:5.1f} s  "
            f"{left} left  {problem or 'same'}",
            flush=True,
        )
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--phases", nargs="+", default=PHASES)
    parser.add_argument("--signals", nargs="+", default=SIGNALS)
    parser.add_argument("--targets", nargs="+", default=["first"])
    parser.add_argument("--few", action="store_true", help="one signal in each phase")
    options = parser.parse_args()
    wrong = check(options.folder, options)
    sys.exit(f"{wrong} went wrong" if wrong else 0)


if __name__ == "__main__":
    run() if IS_RUN else main()
