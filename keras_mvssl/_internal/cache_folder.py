"""The folder of the user for what can be computed again."""

import os
import pathlib
import stat
import warnings


def cache_folder(name):
    """Return the folder of this name in the user's cache, or None without one.

    It is `keras_mvssl/<name>` in `XDG_CACHE_HOME`, by default `~/.cache`, and is made
    for this user alone if it does not exist. Programs trust what they find there. So a
    folder, or a link to one, that somebody else owns or may write to is not used, which
    a warning says.
    """
    try:
        base = pathlib.Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not base.is_absolute():  # As its standard says.
            base = pathlib.Path.home() / ".cache"
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = base
        for part in ("keras_mvssl", *pathlib.PurePath(name).parts):
            folder /= part
            folder.mkdir(mode=0o700, exist_ok=True)
            _refuse_others(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home.
        warnings.warn(
            f"Nothing is kept for later runs, since there is no cache. {error}",
            stacklevel=2,
        )
        return None
    return folder


def _refuse_others(folder):
    found = folder.stat()
    if os.name == "nt":  # Windows has other rights; folders of a user are private.
        return
    # Somebody else's link may lead to any folder of this user.
    if {found.st_uid, folder.lstat().st_uid} != {os.getuid()}:
        raise PermissionError(f"{folder} belongs to another user.")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(
            f"Others may write to {folder}. Forbid that, e.g. by `chmod 700 {folder}`."
        )
