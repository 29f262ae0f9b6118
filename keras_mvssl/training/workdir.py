"""The folder of a run: whose it is, and whether a run may go on in it."""

import contextlib
import errno
import os
import pathlib
import stat
import tempfile
import typing
import warnings

from keras_mvssl import distribution
from keras_mvssl._internal import files
from keras_mvssl._internal.stream_version import check_stream_version
from keras_mvssl.callbacks import checkpoint_store
from keras_mvssl.training import baselines
from keras_mvssl.training import run_files
from keras_mvssl.training import whole
from keras_mvssl.training.resume import Resume
from keras_mvssl.training.resume import is_longer
from keras_mvssl.training.resume import refuse_other_settings


class Workdir:
    """The folder of a run, as one process of the run sees it.

    Attributes:
        path: The folder of the run.
        output: The folder that this process writes to: `path` in the chief process, a
            temporary one in others, whose files are not kept.
        config: The configuration of the run that the folder held; None where it was
            new.
        is_complete: Truth value: the run in the folder has finished, and what it made
            is whole.
    """

    def __init__(self, path, output, config, is_complete, stack):
        self.path, self.output, self.config = path, output, config
        self.is_complete = is_complete
        self._stack, self._is_claimed = stack, False

    @property
    def is_new(self):
        """Truth value: this process writes the files that a run begins with."""
        return self.config is None or self.output != self.path

    def claim(self):
        """Make the folder, once, and keep other runs from it while this one lives.

        Raises:
            ValueError: For the folder of a run that is under way.
        """
        if not self._is_claimed:
            distribution.once(self._claim)
        self._is_claimed = True

    def _claim(self):
        if not distribution.is_chief():
            return
        self._stack.enter_context(lock(self.path))
        files.remove_unfinished(self.path)
        if self.config is None and (self.path / "config.json").exists():
            raise ValueError(
                "Another run has begun in this folder meanwhile. "
                f"Received: workdir={self.path}"
            )

    def refuse_other_settings(self, settings):
        """Raise ValueError where the folder holds a run with other settings."""
        if self.config is not None:
            refuse_other_settings(self.config, settings, self.path)


@contextlib.contextmanager
def open_workdir(path, resume, settings):
    """Open the folder of a run for all its processes, a `Workdir`.

    A run that is found in it is claimed at once, a new folder by `Workdir.claim`.
    Processes other than the chief print nothing meanwhile.

    Args:
        path: The folder.
        resume: Same as in `training.run`.
        settings: The settings of this run that are known before its data.

    Raises:
        ValueError: For a folder that cannot be used, or a run with other settings.
    """
    path = files.local_path(path, "workdir")
    config = distribution.once(lambda: find(path, resume))
    is_complete = distribution.once(lambda: _is_complete(path, config, settings))
    # Nothing is written before all processes have looked.
    distribution.max_over_processes(0)
    with contextlib.ExitStack() as stack:
        output = path
        if not distribution.is_chief():
            output = pathlib.Path(stack.enter_context(_elsewhere()))
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        folder = Workdir(path, output, config, is_complete, stack)
        folder.refuse_other_settings(settings)
        if config is not None and not folder.is_complete:
            folder.claim()
        yield folder


def _elsewhere():
    # An error at the end would replace the exit code of the process.
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)


def _is_complete(path, config, settings):
    """Return whether a run has finished and is whole; say what is made again.

    One that is to go on for more epochs has not finished.

    Raises:
        ValueError: For files that cannot be made again.
    """
    if config is None or not whole.is_finished(path):
        return False
    has_steps = bool(checkpoint_store.Folder(path / "checkpoint").steps())
    planned = settings if is_longer(config, settings) else config
    if whole.epochs_of_results(path) < planned.get("epochs", 0):
        if has_steps:
            return False
        raise ValueError(
            "`workdir` holds a finished run without a checkpoint to train it for more "
            "epochs from. Begin a new run from its weights, in another folder, with "
            f"init={path}/encoder.keras. Received: workdir={path}"
        )
    problems = whole.what_is_wrong(path)
    if not problems:
        return True
    named = ", ".join(f"{name} {problem}" for name, problem in problems.items())
    if not has_steps:
        raise ValueError(
            "`workdir` holds a finished run whose files are not whole, and no "
            "checkpoint to make them again of. Put them back, or choose another "
            f"folder. Received: workdir={path}; {named}"
        )
    print(f"Of this finished run, {named}: made again of the last checkpoint.")
    return False


def find(workdir, resume):
    """Return the configuration of the run that a folder holds, or None if it is new.

    Raises:
        ValueError: For a folder that cannot be used: of other files, of a run that is
            not to be continued, of a newer version, or that cannot be written to.
    """
    allowed = typing.get_args(Resume)
    if resume not in allowed:
        raise ValueError(
            f"`resume` must be one of {list(allowed)}. Received: resume={resume!r}"
        )
    existing = next(p for p in (workdir, *workdir.resolve().parents) if p.exists())
    if not existing.is_dir():
        raise ValueError(
            f"`workdir` must be a folder: {existing} is a file. "
            f"Received: workdir={workdir}"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"`workdir` cannot be written to. Received: workdir={workdir}")
    run_files.refuse_links(workdir)
    config = workdir / "config.json"
    if not config.is_file():
        if workdir.exists() and _others(workdir):
            raise ValueError(
                "`workdir` must be a new or an empty folder, or that of a run to "
                f"continue: this one holds other files. Received: workdir={workdir}"
            )
        if resume == "must":
            raise ValueError(
                "There is no run to continue. "
                f"Received: resume='must', workdir={workdir}"
            )
        return None
    if resume == "never":
        raise ValueError(
            "`workdir` must be a new or an empty folder: this one holds another run. "
            f"Received: resume='never', workdir={workdir}"
        )
    try:
        known = files.read_json(config)
        newer = known["format"] > checkpoint_store.FORMAT
        if not isinstance(known.get("stream_version", 1), int):
            raise TypeError("stream_version must be an int")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "`config.json` is not that of a run that can be continued "
            f"({type(error).__name__}: {error}). Received: workdir={workdir}"
        ) from error
    if newer:
        raise ValueError(
            "The run was written by a newer version of keras_mvssl. "
            f"Received: workdir={workdir}"
        )
    check_stream_version(known, f"workdir={workdir}")
    begun = [x for x in ("metrics.csv", "encoder.keras") if (workdir / x).exists()]
    has_any = bool(checkpoint_store.Folder(workdir / "checkpoint").names())
    if begun and not has_any and not whole.is_finished(workdir):
        raise ValueError(
            "The run has trained, but there is no checkpoint to go on from, and no run "
            "begins anew in its place. Put its `checkpoint/` back, choose another "
            f"folder, or empty this one. Received: workdir={workdir}, which holds "
            f"{' and '.join(begun)}"
        )
    if resume == "must" and not checkpoint_store.Folder(workdir / "checkpoint").steps():
        raise ValueError(
            "The run has no checkpoint to go on from. "
            f"Received: resume='must', workdir={workdir}"
        )
    return known


def _others(workdir):
    """List the files that were not left by a run that ended as it began."""
    own = {run_files.LOCK, baselines.FILE}
    return [
        p
        for p in workdir.iterdir()
        if p.name not in own and not p.name.startswith(files.UNFINISHED)
    ]


@contextlib.contextmanager
def lock(workdir):
    """Make the folder, and keep other runs from it as long as this process lives.

    Raises:
        ValueError: For the folder of a run that is under way.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with _open_lock(workdir) as file:
        try:
            _lock(file)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
                warnings.warn(
                    f"{workdir} cannot be locked ({error}): see to it yourself that no "
                    "other run uses it.",
                    stacklevel=3,
                )
                yield
                return
            file.seek(0)
            raise ValueError(
                f"A run is under way in this folder ({file.read().strip()}). "
                f"Received: workdir={workdir}"
            ) from error
        with contextlib.suppress(OSError):  # What it says is beside the lock.
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()}\n".encode())
        yield


def _open_lock(workdir):
    path = workdir / run_files.LOCK
    try:
        number = files.open_here(path, os.O_CREAT | os.O_RDWR)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        run_files.refuse(path, "a file of its own, no link", workdir)
    found = os.fstat(number)
    # A second name of the file may be anywhere, and its content would change too.
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(number)
        run_files.refuse(path, "a file with no other name", workdir)
    return open(number, "r+", encoding="utf-8")


def _lock(file):
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
