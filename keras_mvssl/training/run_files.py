"""The names that a run writes to in its folder, none of which may lead elsewhere."""

import contextlib
import os
import pathlib
import stat

from keras_mvssl.training import baselines
from keras_mvssl.training import whole

LOCK = ".lock"
FILES = (
    *(LOCK, baselines.FILE, "config.json", "metrics.csv", "views.png"),
    *("bad_images.txt", "encoder.keras", "diagnostics.npz", "results.json"),
    *(whole.REPORT, whole.FILE),
)
FOLDERS = ("checkpoint", "tensorboard")


def refuse_links(workdir):
    """Refuse a folder in which a run would write to a link, or over something else.

    The folder may come from somebody else, and a link in it may lead to any file.

    Raises:
        ValueError: With the path of the link.
    """
    for names, is_right, expected in (
        (FILES, stat.S_ISREG, "a file, no link"),
        (FOLDERS, stat.S_ISDIR, "a folder, no link"),
    ):
        for path in (workdir / name for name in names):
            with contextlib.suppress(FileNotFoundError):
                if not is_right(path.lstat().st_mode):
                    refuse(path, expected, workdir)
    for top in FOLDERS:
        for folder, folders, names in os.walk(workdir / top):
            _refuse_links_in(pathlib.Path(folder), (*folders, *names), workdir)


def _refuse_links_in(folder, names, workdir):
    for path in (folder / name for name in names):
        if path.is_symlink():
            refuse(path, "a file or a folder, no link", workdir)


def refuse(path, expected, workdir):
    """Raise ValueError for a path in the folder of a run."""
    raise ValueError(
        f"{path} must be {expected}: a run writes there. Remove it, or put what a link "
        f"leads to in its place. Received: workdir={workdir}"
    )
