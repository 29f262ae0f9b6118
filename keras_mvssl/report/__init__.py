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

from keras_mvssl._internal.files import atomic_write
from keras_mvssl._internal.files import local_path
from keras_mvssl.report import contents
from keras_mvssl.report import page
from keras_mvssl.report import sections


def write(folders: Sequence[str | os.PathLike], path: str | os.PathLike) -> None:
    """Write the report of one run, or of several runs side by side.

    Args:
        folders: Workdirs, the folders of the runs; at least one.
        path: The HTML file to write. Its folder is made; a link is replaced.

    Raises:
        ValueError: For a folder that holds no run, or files that no run has written;
            and for a path of another scheme, such as a bucket.

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
    path = local_path(path, "path")
    runs = _number_equal_names([contents.read(workdir) for workdir in folders])
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    parts = [
        (heading, _section(make, runs, folders))
        for heading, make in (
            ("Results", sections.results),
            ("Training", sections.training),
            ("Spectrum", sections.spectrum),
            ("Views", sections.views),
            ("Features", sections.features),
            ("Where time went", sections.time),
            ("Settings", sections.settings),
        )
    ]
    # Letters that UTF-8 cannot hold, of a name in JSON, are written as numbers.
    text = page.page(title, parts).encode("utf-8", "xmlcharrefreplace")
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(text)


def _section(make, runs, folders):
    """Return a section; the folders are named where it cannot be made of their files.

    The files may hold arrays of any shape, and numbers that cannot be drawn.
    """
    try:
        return make(runs)
    except Exception as error:
        raise ValueError(
            f"The section of {make.__name__} cannot be made of the files of these runs "
            f"({type(error).__name__}: {error}). "
            f"Received: folders={[str(folder) for folder in folders]}"
        ) from error


def _number_equal_names(runs):
    """Add a number to the name of each run that shares its name with another."""
    names = [run.name for run in runs]
    return [
        dataclasses.replace(run, name=f"{run.name} ({names[: i + 1].count(run.name)})")
        if names.count(run.name) > 1
        else run
        for i, run in enumerate(runs)
    ]
