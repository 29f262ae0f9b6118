"""What a run left in its folder, read back."""

import csv
import dataclasses
import json
import pathlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class Run:
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
    metrics = []
    if (folder / "metrics.csv").exists():
        with open(folder / "metrics.csv", newline="") as file:
            metrics = [
                {name: float(value) for name, value in row.items() if value}
                for row in csv.DictReader(file)
            ]
    diagnostics = {}
    if (folder / "diagnostics.npz").exists():
        with np.load(folder / "diagnostics.npz", allow_pickle=False) as arrays:
            diagnostics = {name: arrays[name] for name in arrays.files}
    picture = folder / "views.png"
    return Run(
        name=folder.resolve().name,
        config=_json(folder / "config.json"),
        results=_json(folder / "results.json"),
        metrics=metrics,
        diagnostics=diagnostics,
        views=picture.read_bytes() if picture.exists() else b"",
    )


def _json(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
