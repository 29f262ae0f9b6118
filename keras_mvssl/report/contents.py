"""Files of a run, read back from its workdir, which anyone may have written."""

import csv
import dataclasses
import io
import math
import pathlib
import warnings

from keras_mvssl._internal.files import read_json
from keras_mvssl._internal.npz import read_npz
from keras_mvssl.report import diagnostics

# Most pixels of a picture of views that is shown.
MAX_PIXELS = 2**26


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
        left_out: Why `views.png` is not shown; empty where it is, or is missing.
    """

    name: str
    config: dict
    results: dict
    metrics: list
    diagnostics: dict
    views: bytes
    left_out: str = ""


def read(workdir):
    """Read the folder of a run.

    Args:
        workdir: The folder.

    Returns:
        A `RunContents`.

    Raises:
        ValueError: For a folder without `config.json`, or with a damaged file.
    """
    workdir = pathlib.Path(workdir).expanduser()
    if not (workdir / "config.json").is_file():
        raise ValueError(
            "`workdir` must be the folder of a run, which holds a `config.json`. "
            f"Received: workdir={workdir}"
        )
    found = {
        name: _read(workdir / file, reader) if (workdir / file).exists() else empty
        for name, file, reader, empty in (
            ("config", "config.json", read_json, {}),
            ("results", "results.json", _results, {}),
            ("metrics", "metrics.csv", _rows, []),
            ("diagnostics", "diagnostics.npz", _diagnostics, {}),
        )
    }
    views, left_out = b"", ""
    if (workdir / "views.png").exists():
        try:
            views = _picture(workdir / "views.png")
        except Exception:  # Pillow has many.
            left_out = (
                "views.png was left out: it is no whole PNG file of at most "
                f"{MAX_PIXELS:,} pixels."
            )
    name = workdir.resolve().name
    return RunContents(name=name, **found, views=views, left_out=left_out)


def _read(path, reader):
    try:
        if not path.is_file():  # To read a pipe would wait forever.
            raise FileNotFoundError("no file")
        return reader(path)
    except Exception as error:
        raise ValueError(
            "A file of a run is damaged. Move the file away to report the others "
            f"({type(error).__name__}: {error}). Received: path={path}"
        ) from error


def _results(path):
    """Read results, of which those that a report shows must be numbers and texts."""
    content = read_json(path)
    for name in ("views_seen", "views_per_second", "seconds"):
        _check_number(content.get(name), name)
    for name in ("probe", "time"):
        group = content.get(name)
        if not isinstance(group, dict | None):
            raise TypeError(f"{name} is no dict")
        for key, value in (group or {}).items():
            if value is None and name == "time":
                raise TypeError(f"{name}.{key} is no number")
            _check_number(value, f"{name}.{key}")
    names = content.get("class_names")
    if not isinstance(names, list | None):
        raise TypeError("class_names is no list")
    if not all(isinstance(x, str) for x in names or ()):
        raise TypeError("class_names are no texts")
    return content


def _check_number(value, name):
    if value is not None and not isinstance(value, int | float):
        raise TypeError(f"{name} is no number")
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{name} is not finite")


def _rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def _diagnostics(path):
    """Read arrays, of pictures no more than a run has, however many there are."""
    arrays, _ = read_npz(path)
    for name in ("queries", "query_labels", "neighbors", "neighbor_labels"):
        if name in arrays:
            arrays[name] = arrays[name][: diagnostics.SHOWN_QUERIES]
    for name in ("neighbors", "neighbor_labels"):
        if name in arrays:
            arrays[name] = arrays[name][:, : diagnostics.SHOWN_NEIGHBORS]
    return arrays


def _picture(path):
    """Return the bytes of a PNG file, which nothing but a PNG decoder has seen."""
    from PIL import Image

    if not path.is_file():
        raise FileNotFoundError("no file")
    if path.stat().st_size > 4 * MAX_PIXELS:
        raise ValueError("it is too large")
    content = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels")
            image.verify()
    return content
