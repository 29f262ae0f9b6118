"""A run folder as one HTML page, or several runs side by side.

The page is one file with its pictures in it, without scripts or network requests. Runs
write theirs themselves; `python -m keras_mvssl.report RUN [RUN ...]` rebuilds it from
`config.json`, `results.json`, `metrics.csv`, `diagnostics.npz` and `views.png`, and
compares runs.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from keras_mvssl.report import contents
from keras_mvssl.report import page
from keras_mvssl.report import sections


def write(folders: Sequence[str | os.PathLike], path: str | os.PathLike) -> None:
    """Writes the report of one run folder, or of several side by side.

    Args:
        folders: Run folders, at least one.
        path: The HTML file.

    Raises:
        ValueError: For a folder that holds no run.

    Example:

    ```python
    keras_mvssl.report.write(["runs/first", "runs/second"], "report.html")
    ```
    """
    if isinstance(folders, (str, pathlib.Path)) or not list(folders):
        raise ValueError(
            f"`folders` must be a list of at least one. Received: folders={folders!r}"
        )
    runs = _distinct([contents.read(folder) for folder in folders])
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    parts = [
        ("Results", sections.results(runs)),
        ("Training", sections.training(runs)),
        ("Spectrum", sections.spectrum(runs)),
        ("Views", sections.views(runs)),
        ("Features", sections.features(runs)),
        ("Where time went", sections.time(runs)),
        ("Settings", sections.settings(runs)),
    ]
    pathlib.Path(path).write_text(page.page(title, parts), encoding="utf-8")


def _distinct(runs):
    """Gives runs of the same name numbers."""
    names = [run.name for run in runs]
    return [
        dataclasses.replace(run, name=f"{run.name} ({names[: i + 1].count(run.name)})")
        if names.count(run.name) > 1
        else run
        for i, run in enumerate(runs)
    ]
