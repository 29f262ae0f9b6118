"""What a run left in its folder, read back."""

import csv
import dataclasses
import json
import pathlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class RunContents:
    """What a run left in its folder; what is missing is empty.

    Attributes:
        name: Name of the folder.
        config, results: Contents of the JSON files.
        metrics: Rows of `metrics.csv`, `{column: number}`.
        diagnostics: Arrays of `diagnostics.npz`.
        views: `views.png`, bytes.
    """

    name: str
    config: dict
    results: dict
    metrics: list
    diagnostics: dict
    views: bytes


def read(folder):
    """Reads a run folder.

    Raises:
        ValueError: For a folder without `config.json`.
    """
    folder = pathlib.Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"A run folder holds `config.json`; this one does not. Received: {folder}"
        )
    found = {
        name: _read(folder / file, reader) if (folder / file).exists() else empty
        for name, file, reader, empty in (
            ("config", "config.json", _dict, {}),
            ("results", "results.json", _dict, {}),
            ("metrics", "metrics.csv", _rows, []),
            ("diagnostics", "diagnostics.npz", _arrays, {}),
            ("views", "views.png", pathlib.Path.read_bytes, b""),
        )
    }
    return RunContents(name=folder.resolve().name, **found)


def _read(path, reader):
    try:
        return reader(path)
    except Exception as error:
        raise ValueError(
            "A file of a run is damaged; without it, the report is made of the others "
            f"({type(error).__name__}: {error}). Received: {path}"
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
