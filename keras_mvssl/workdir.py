"""The folder of a run: whose it is, and whether a run may go on in it."""

import contextlib
import errno
import json
import os
import warnings

from keras_mvssl import baselines
from keras_mvssl import checkpoints

RESUME = ("auto", "never", "must")
# What a run may be continued with another value of: its result stays the same.
FREE = (
    *("devices", "workers", "data_dir", "checkpoint_minutes", "checkpoint_steps"),
    "on_bad_image",
    *("command", "commit", "date", "versions", "cpu_cores"),
)
LOCK = ".lock"


def find(workdir, resume):
    """The configuration of the run that a folder holds, or None for a new folder.

    Raises:
        ValueError: For a folder that cannot be used: of other files, of a run that is
            not to be continued, of a newer version, or that cannot be written to.
    """
    if resume not in RESUME:
        raise ValueError(
            f"`resume` must be one of {list(RESUME)}. Received: resume={resume!r}"
        )
    existing = next(p for p in (workdir, *workdir.resolve().parents) if p.exists())
    if not existing.is_dir():
        raise ValueError(
            f"`workdir` must be a folder: {existing} is a file. "
            f"Received: workdir={workdir}"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"`workdir` cannot be written to. Received: workdir={workdir}")
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
        known = json.loads(config.read_text(encoding="utf-8"))
        newer = known["format"] > checkpoints.FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "`config.json` is not that of a run that can be continued "
            f"({type(error).__name__}: {error}). Received: workdir={workdir}"
        ) from error
    if newer:
        raise ValueError(
            "The run was written by a newer version of keras_mvssl. "
            f"Received: workdir={workdir}"
        )
    if resume == "must" and not checkpoints.Folder(workdir / "checkpoint").steps():
        raise ValueError(
            "The run has no checkpoint to go on from. "
            f"Received: resume='must', workdir={workdir}"
        )
    return known


def _others(workdir):
    """Files that were not left by a run that ended as it began."""
    own = {LOCK, baselines.FILE}
    return [
        p
        for p in workdir.iterdir()
        if p.name not in own and not p.name.startswith(".unfinished-")
    ]


def refuse_other_settings(known, settings, workdir):
    """Raises ValueError, with the differences, for settings of another run.

    Args:
        known: The configuration that `find` returned.
        settings: Some of the settings of this run, a dict.
        workdir: The folder.
    """
    settings = json.loads(json.dumps(settings))
    differences = [
        f"{name}: {known.get(name)!r} there, {value!r} here"
        for name, value in settings.items()
        if name not in FREE and known.get(name) != value
    ]
    if differences:
        raise ValueError(
            "`workdir` holds a run with other settings. Choose another folder, or the "
            f"settings of that run. Received: workdir={workdir}; "
            + "; ".join(differences)
        )


@contextlib.contextmanager
def lock(workdir):
    """Makes the folder, and keeps it from other runs as long as this process lives.

    Raises:
        ValueError: For the folder of a run that is under way.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with open(workdir / LOCK, "a+", encoding="utf-8") as file:
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
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield


def _lock(file):
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
