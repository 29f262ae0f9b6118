"""Checkpoints on disk: whole or not there, with checksums."""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import warnings

from keras_mvssl._internal.files import sync

MANIFEST = "manifest.json"
# Of the files of a run. Larger for files that this version could not read.
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of checkpoints, each a folder `step-N` with a manifest of its files.

    Attributes:
        path: The folder. It is made when the first checkpoint is.
        keep: int >= 1. How many of the latest are kept.
    """

    path: pathlib.Path
    keep: int = 2

    def save(self, step, write, spare=None):
        """Adds a checkpoint, and removes those that are no longer kept.

        Its files are written into a folder of another name, synced to the disk, and
        renamed: whenever the process ends, the checkpoints that there are are whole.

        Args:
            step: int. Steps of training behind it.
            write: Function that writes the files into a folder that it is given.
            spare: Step of a checkpoint to be kept in any case.

        Raises:
            OSError: As of writing; the other checkpoints are as they were.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._sweep()
        unfinished = self.path / f".unfinished-{step}"
        unfinished.mkdir()
        try:
            write(unfinished)
            names = sorted(p.name for p in unfinished.iterdir())
            manifest = {
                "format": FORMAT,
                "step": step,
                "sha256": {name: _checksum(unfinished / name) for name in names},
            }
            (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=2))
            for file in (*unfinished.iterdir(), unfinished):
                sync(file)
            self._remove(step)
            unfinished.rename(self._of(step))
            sync(self.path)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        kept = {*self.steps()[-self.keep :], spare}
        for other in self.steps():
            if other not in kept:
                self._remove(other)

    def steps(self):
        """The steps of the checkpoints that there are, in order."""
        found = self.path.glob("step-*") if self.path.is_dir() else ()
        return sorted(int(p.name[5:]) for p in found if p.name[5:].isdecimal())

    def latest(self):
        """The folder of the latest whole checkpoint, or None; warns of damaged ones.

        Raises:
            ValueError: For one that a newer version has written.
        """
        for step in reversed(self.steps()):
            folder = self._of(step)
            try:
                manifest = json.loads((folder / MANIFEST).read_text())
                newer = manifest["format"] > FORMAT
                damaged = [
                    name
                    for name, checksum in manifest["sha256"].items()
                    if _checksum(folder / name) != checksum
                ]
                problem = f"{damaged[0]} has changed" if damaged else None
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                newer, problem = False, f"{type(error).__name__}: {error}"
            if newer:
                raise ValueError(
                    "The checkpoint was written by a newer version of keras_mvssl. "
                    f"Received: {folder}"
                )
            if problem is None:
                return folder
            warnings.warn(
                f"The checkpoint {folder} is damaged ({problem}): falling back to the "
                "one before.",
                stacklevel=2,
            )
        return None

    def set_aside_after(self, step):
        """Takes those of later steps, which are damaged, out of the way."""
        for later in self.steps():
            if later > step:
                aside = self.path / f"damaged-{later}"
                shutil.rmtree(aside, ignore_errors=True)  # of an earlier time
                self._of(later).rename(aside)

    def _of(self, step):
        return self.path / f"step-{step:09d}"

    def _remove(self, step):
        """Never leaves half a checkpoint under the name of a whole one."""
        folder = self._of(step)
        if folder.exists():
            gone = self.path / f".removed-{step}"
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def _sweep(self):
        """Removes what an earlier process did not finish."""
        for left in (*self.path.glob(".unfinished-*"), *self.path.glob(".removed-*")):
            shutil.rmtree(left, ignore_errors=True)


def _checksum(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
