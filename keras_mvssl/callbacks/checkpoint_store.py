"""Folder of checkpoints, each of which is complete or absent, with checksums."""

import dataclasses
import os
import pathlib
import shutil
import warnings

from keras_mvssl._internal.files import checksum
from keras_mvssl._internal.files import flush_to_disk
from keras_mvssl._internal.files import json_text
from keras_mvssl._internal.files import read_json

MANIFEST = "manifest.json"
# Version of the format of a run's files. Raised when they change so that earlier
# versions of keras_mvssl cannot read them.
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Folder:
    """Folder of checkpoints, each a folder `step-N` with a manifest of its files.

    Attributes:
        path: The folder, which is made together with the first checkpoint.
        keep: int >= 1. Number of latest checkpoints that are kept.
    """

    path: pathlib.Path
    keep: int = 2

    def save(self, step, write, best=None):
        """Add a checkpoint, and remove checkpoints that are no longer kept.

        The files are written into a folder of another name, synced to the disk, and
        the folder is renamed: whenever the process ends, every checkpoint is complete.

        Args:
            step: int. Number of training steps done.
            write: Function that writes the files into the folder that it is given.
            best: Optional step of the best checkpoint, which is kept in any case.

        Raises:
            OSError: For a failure to write, which leaves other checkpoints unchanged.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()
        unfinished = self.path / f".unfinished-{step}"
        unfinished.mkdir()
        try:
            write(unfinished)
            names = sorted(p.name for p in unfinished.iterdir())
            manifest = {
                "format": FORMAT,
                "step": step,
                "sha256": {name: checksum(unfinished / name) for name in names},
            }
            (unfinished / MANIFEST).write_text(json_text(manifest, indent=2))
            for file in (*unfinished.iterdir(), unfinished):
                flush_to_disk(file)
            self._remove(step)
            unfinished.rename(self._path_of(step))
            flush_to_disk(self.path)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        kept = {*self.steps()[-self.keep :], best}
        for other in self.steps():
            if other not in kept:
                self._remove(other)

    def steps(self):
        """Return the steps of the existing checkpoints, in ascending order.

        Raises:
            OSError: For a folder that exists and cannot be read.
        """
        found = [name[5:] for name in self.names() if name.startswith("step-")]
        steps = {int(number) for number in found if number.isdecimal()}
        # Without those whose names `save` does not give, such as `step-7`.
        return sorted(step for step in steps if os.path.lexists(self._path_of(step)))

    def latest(self):
        """Return the folder of the latest intact checkpoint, or None without any.

        A checkpoint is damaged if a file is missing, or not what was written. Each one
        that is passed over gives a warning.

        Raises:
            ValueError: For a checkpoint that a newer version of keras_mvssl has
                written, and where checkpoints exist but none is intact.
            OSError: For any other failure to read one, which may pass.
        """
        problems = []
        for step in reversed(self.steps()):
            folder = self._path_of(step)
            problem = _problem(folder)
            if problem is None:
                for damaged in problems:
                    warnings.warn(f"{damaged}: falling back to {folder}.", stacklevel=2)
                return folder
            problems.append(f"The checkpoint {folder} is damaged ({problem})")
        problems += [x for x in self.names() if x.startswith("damaged-")]
        if problems:
            raise ValueError(
                "Checkpoints exist, but none is whole, and no training begins anew in "
                "their place. Put a whole one back, or choose another folder, or empty "
                f"this one. Received: folder={self.path}; {'; '.join(problems)}"
            )
        return None

    def set_aside_after(self, step):
        """Rename the checkpoints after a step, which are damaged, to `damaged-N`."""
        for later in self.steps():
            if later > step:
                aside = self.path / f"damaged-{later}"
                _delete(aside)  # from an earlier start
                self._path_of(later).rename(aside)

    def names(self):
        """Return the sorted names of all that is in the folder."""
        # `glob` would pass over a folder that cannot be read.
        try:
            return sorted(os.listdir(self.path))
        except FileNotFoundError:
            return []

    def _path_of(self, step):
        return self.path / f"step-{step:09d}"

    def _remove(self, step):
        # Renamed first, so that a kill leaves no half checkpoint under its name.
        folder = self._path_of(step)
        if folder.exists():
            gone = self.path / f".removed-{step}"
            folder.rename(gone)
            _delete(gone)

    def _remove_leftovers(self):
        """Remove folders that an earlier process did not finish writing or removing."""
        for left in (*self.path.glob(".unfinished-*"), *self.path.glob(".removed-*")):
            _delete(left)


def _delete(path):
    """Remove a folder and what is in it; of a link, only the link."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _problem(folder):
    """Return what is wrong with a checkpoint, or None.

    A manifest that somebody else has written may hold anything, and name a file
    anywhere.
    """
    try:
        manifest = read_json(folder / MANIFEST)
        is_newer = manifest["format"] > FORMAT
        checksums = dict(manifest["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    if is_newer:
        raise ValueError(
            "The checkpoint was written by a newer version of keras_mvssl. "
            f"Received: {folder}"
        )
    for path in (folder, *folder.iterdir()):
        if path.is_symlink():
            return f"{path.name} is a link"
    for name, known in checksums.items():
        if name in ("", os.curdir, os.pardir) or set(name) & set("/\\\0"):
            return f"{name!r} is no name of a file in it"
        found = checksum(folder / name)
        if found != known:
            return f"no file: {name}" if found is None else f"{name} has changed"
    return None
