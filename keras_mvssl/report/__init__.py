"""Report of a run, or of several runs side by side, as one HTML page.

The page is one file that includes its pictures, without scripts or network requests.
Each run writes its own report;
`python -m keras_mvssl.report WORKDIR [WORKDIR ...]` writes it again, or compares runs,
from `config.json`, `results.json`, `metrics.csv`, `diagnostics.npz` and `views.png`.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from keras_mvssl.report import contents
from keras_mvssl.report import page
from keras_mvssl.report import sections


def write(folders: Sequence[str | os.PathLike], path: str | os.PathLike) -> None:
    """Write the report of one run, or of several runs side by side.

    Args:
        folders: Workdirs, the folders of the runs; at least one.
        path: The HTML file to write.

    Raises:
        ValueError: For a folder that holds no run.

    Example:
    ```python
    keras_mvssl.report.write(["runs/first", "runs/second"], "report.html")
    ```
    """
    if isinstance(folders, (str, pathlib.Path)) or not list(folders):
        raise ValueError(
            "`folders` must be a list of at least one workdir. "
            f"Received: folders={folders!r}"
        )
    runs = _number_equal_names([contents.read(workdir) for workdir in folders])
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


def _number_equal_names(runs):
    """Add a number to the name of each run that shares its name with another."""
    names = [run.name for run in runs]
    return [
        dataclasses.replace(run, name=f"{run.name} ({names[: i + 1].count(run.name)})")
        if names.count(run.name) > 1
        else run
        for i, run in enumerate(runs)
    ]
