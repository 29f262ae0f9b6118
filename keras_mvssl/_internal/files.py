"""Atomic writes of files, and failures to write that become warnings."""

import contextlib
import json
import os
import pathlib
import warnings


@contextlib.contextmanager
def atomic_write(path):
    """Write a file under a temporary name that becomes `path` once it is complete.

    Yields the temporary path, which keeps the suffix of `path`: some writers choose
    their format by the suffix. The parent folder is created. After an exception, `path`
    is as it was before.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{path.name}")
    yield unfinished
    flush_to_disk(unfinished)
    os.replace(unfinished, path)


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
            f"{path} could not be written; training goes on. {error}", stacklevel=3
        )


def write_json(path, content) -> None:
    """Write a dict to a JSON file, completely or not at all.

    Args:
        path: The file. Its parent folder is created.
        content: A dict of values that JSON can represent.

    Example:
    ```python
    keras_mvssl.training.write_json("found.json", {"accuracy": 0.8})
    ```
    """
    with atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
