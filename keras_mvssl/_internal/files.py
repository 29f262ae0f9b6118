"""Files written whole under fresh names, and JSON that is read with care."""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import re
import secrets
import stat
import warnings

import numpy as np

# Beginning of the names of files that are not complete yet.
UNFINISHED = ".unfinished-"


@contextlib.contextmanager
def atomic_write(path):
    """Write a file under a temporary name that becomes `path` once it is complete.

    Yields the temporary path, which keeps the suffix of `path`: some writers choose
    their format by the suffix. The parent folder is created. After an exception, `path`
    is as it was before. A link at `path` is replaced by the file, not followed.

    Raises:
        ValueError: For a path of another scheme, such as a bucket.
        FileExistsError: For a `path` that exists and is no file.
        OSError: With `path`, for a failure to write, such as a full disk.
    """
    path = local_path(path, "path")
    if path.exists() and not path.is_file():  # A device must not be replaced.
        raise FileExistsError(f"`path` must be a file. Received: path={path}")
    # No one can have put a link under a name that cannot be foreseen.
    unfinished = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(open_here(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        yield unfinished
        flush_to_disk(unfinished)
        os.replace(unfinished, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # It would hide the error.
            unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise OSError(error.errno or errno.EIO, reason, str(path)) from error
        raise


def open_here(path, flags):
    """Open a file that is no link, with the usual permissions; return its number."""
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, 0o666)


def remove_unfinished(folder):
    """Remove the files that a killed process did not finish writing to a folder."""
    for left in folder.glob(f"{UNFINISHED}*"):
        if left.is_symlink() or left.is_file():
            left.unlink(missing_ok=True)


def local_path(path, name):
    """Return a path to write to as `pathlib.Path`; `~` is the user's home.

    Args:
        path: str or path-like.
        name: Name of the argument in the error message.

    Raises:
        ValueError: For another scheme, such as `gs://` and `s3://`: all would be
            written to a folder named `gs:` of this machine.
    """
    if has_scheme(path):
        raise ValueError(
            f"`{name}` must be a path of this machine's file system. Write to a local "
            f"or mounted folder, and copy it afterwards. Received: {name}={path}"
        )
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError:  # No user has this name: "~x" is a name like others.
        return pathlib.Path(path)


def has_scheme(path):
    """Return whether a path begins like `gs://`; `pathlib` makes `gs:/` of that."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", os.fsdecode(path)) is not None


def is_file(path):
    """Return whether a path is a file; `Path.is_file` is silent on other failures.

    Raises:
        OSError: For a failure to find out, which may pass.
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def checksum(path):
    """Return the SHA-256 of a file in hexadecimal digits, or None without a file.

    Raises:
        OSError: For a failure to read, which may pass.
    """
    if not is_file(path):  # To read a pipe would wait forever.
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_to_disk(path):
    """Wait until a file or a folder is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def warn_on_error(path, errors=OSError):
    """Turn a failure to write `path`, e.g. to a full disk, into a warning."""
    try:
        yield
    except errors as error:
        warnings.warn(
            f"{path} could not be written; the run goes on. {error}", stacklevel=3
        )


def write_json(path, content) -> None:
    """Write a dict to a JSON file, completely or not at all.

    Args:
        path: The file. Its parent folder is created.
        content: A dict of values that JSON can represent. Numbers and arrays of NumPy
            become numbers and lists.

    Raises:
        ValueError: For a path of another scheme, such as a bucket.

    Example:
    ```python
    keras_mvssl.training.write_json("found.json", {"accuracy": 0.8})
    ```
    """
    with atomic_write(path) as unfinished:
        unfinished.write_text(json_text(content, indent=2) + "\n", encoding="utf-8")


def json_text(content, indent=None):
    """Return JSON, with the numbers and arrays of NumPy as numbers and lists."""
    return json.dumps(content, indent=indent, default=_plain)


def _plain(value):
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
        # Types that Python does not know, such as bfloat16, stay what they are.
        return float(value) if isinstance(value, np.generic) else value
    raise TypeError(f"{type(value).__name__} is not JSON serializable: {value!r}")


def read_json(path):
    """Read a dict from a JSON file that anyone may have written.

    Raises:
        ValueError: For no file, or one that holds anything else.
        OSError: For any other failure to read, which may pass.
    """
    try:
        if not is_file(path):  # To read a pipe would wait forever.
            raise TypeError("no such file")
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("not a dict")
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            "A file must hold a dict in JSON. "
            f"({type(error).__name__}: {error}). Received: path={path}"
        ) from error
    return content
