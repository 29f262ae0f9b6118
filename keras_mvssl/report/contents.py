"""Files of a run, read back from its workdir."""

import csv
import dataclasses
import json
import pathlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class RunContents:
    """Contents of the files in the folder of a run; empty for a missing file.

    Attributes:
        name: Name of the folder.
        config: Content of `config.json`.
        results: Content of `results.json`.
        metrics: Rows of `metrics.csv`, each `{column: number}`.
        diagnostics: Arrays of `diagnostics.npz`, by name.
        views: Bytes of `views.png`.
    """

    name: str
    config: dict
    results: dict
    metrics: list
    diagnostics: dict
    views: bytes


def read(workdir):
    """Read the folder of a run.

    Args:
        workdir: The folder.

    Returns:
        A `RunContents`.

    Raises:
        ValueError: For a folder without `config.json`, or with a damaged file.
    """
    workdir = pathlib.Path(workdir)
    if not (workdir / "config.json").is_file():
        raise ValueError(
            "`workdir` must be the folder of a run, which holds a `config.json`. "
            f"Received: workdir={workdir}"
        )
    found = {
        name: _read(workdir / file, reader) if (workdir / file).exists() else empty
        for name, file, reader, empty in (
            ("config", "config.json", _dict, {}),
            ("results", "results.json", _dict, {}),
            ("metrics", "metrics.csv", _rows, []),
            ("diagnostics", "diagnostics.npz", _arrays, {}),
            ("views", "views.png", pathlib.Path.read_bytes, b""),
        )
    }
    return RunContents(name=workdir.resolve().name, **found)


def _read(path, reader):
    try:
        return reader(path)
    except Exception as error:
        raise ValueError(
            "A file of a run is damaged. Move the file away to report the others "
            f"({type(error).__name__}: {error}). Received: path={path}"
        ) from error


def _dict(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise TypeError("not a dict")
    return content


def _rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def _arrays(path):
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
