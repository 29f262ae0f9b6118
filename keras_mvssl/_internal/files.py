"""Files that are whole or not there, and files that training can go on without."""

import contextlib
import json
import os
import pathlib
import warnings


@contextlib.contextmanager
def whole(path):
    """A path to write a file to, which then gets its name at once or not at all.

    Its folder is made. The suffix of the name stays, which some writers go by.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{path.name}")
    yield unfinished
    sync(unfinished)
    os.replace(unfinished, path)


def sync(path):
    """Waits until a file or a folder is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def or_warn(path, errors=OSError):
    """Turns a failure to write, e.g. to a full disk, into a warning."""
    try:
        yield
    except errors as error:
        warnings.warn(
            f"{path} could not be written; training goes on. {error}", stacklevel=3
        )


def write_json(path, content) -> None:
    """Write a dict to a JSON file, which is there whole or not at all.

    Args:
        path: The file. Its folder is made.
        content: A dict that JSON can hold.

    Example:

    ```python
    keras_mvssl.training.write_json("found.json", {"accuracy": 0.8})
    ```
    """
    with whole(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
