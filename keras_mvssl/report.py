"""A run folder as one HTML page, or several runs side by side.

    python -m keras_mvssl.report RUN [RUN ...] [--out=report.html]

The page is one file with its pictures in it, without scripts or network requests. Runs
write theirs themselves; this rebuilds it from `config.json`, `results.json`,
`metrics.csv`, `diagnostics.npz` and `views.png`, and compares runs.
"""

import base64
import csv
import dataclasses
import html
import json
import pathlib

import numpy as np
from absl import app
from absl import flags

from keras_mvssl import figures

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1080px;
       margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; margin: .5em 0; }
td, th { padding: .2em .8em .2em 0; text-align: left; vertical-align: top;
         border-bottom: 1px solid #ddd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { background: #f3f3f3; padding: .1em .3em; overflow-wrap: anywhere; }
img { max-width: 100%; } figure { display: inline-block; margin: .5em 1em .5em 0;
      vertical-align: top; } figcaption { font-size: .85em; color: #555; }
p.note { color: #555; font-size: .9em; max-width: 46em; }
.pixels { image-rendering: pixelated; }
"""


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


def write(folders, path):
    """Writes the report of one run folder, or of several side by side.

    Args:
        folders: Run folders, at least one.
        path: The HTML file.

    Raises:
        ValueError: For a folder that holds no run.

    Example:

    ```python
    keras_mvssl.report.write(["runs/two_views", "runs/eight_views"], "report.html")
    ```
    """
    runs = _distinct([read(folder) for folder in folders])
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    sections = [
        ("Results", _results(runs)),
        ("Training", _training(runs)),
        ("Spectrum", _spectrum(runs)),
        ("Views", _views(runs)),
        ("Features of the test images", _features(runs)),
        ("Where time went", _time(runs)),
        ("Settings", _settings(runs)),
    ]
    body = "\n".join(f"<h2>{name}</h2>\n{part}" for name, part in sections if part)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<link rel="icon" href="data:,">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{_text(title)}</h1>\n{body}\n</body></html>\n"
    )
    pathlib.Path(path).write_text(page, encoding="utf-8")


def _results(runs):
    columns = {
        "pixels": lambda run: _percent(run.results.get("probe", {}).get("pixels")),
        "random weights": lambda run: _percent(
            run.results.get("probe", {}).get("random_init")
        ),
        "pretrained": lambda run: _percent(run.results.get("probe", {}).get("final")),
        "20 neighbours": lambda run: _percent(run.diagnostics.get("knn_20")),
        "200 neighbours": lambda run: _percent(run.diagnostics.get("knn_200")),
        "views seen": lambda run: _number(run.results.get("views_seen")),
        "views/s": lambda run: _number(run.results.get("views_per_second")),
        "seconds": lambda run: _number(run.results.get("seconds")),
    }
    rows = [[_text(run.name), *(f(run) for f in columns.values())] for run in runs]
    note = (
        "Accuracy on the test images, which neither training nor the choice of "
        "anything has seen: of a linear probe (multinomial logistic regression, its "
        "strength chosen on held-out training labels) on frozen features of one clean "
        "view, and of the votes of the nearest training images by cosine."
    )
    if not any(run.results for run in runs):
        return "<p>The run has not ended.</p>"
    return _table(["", *columns], rows) + _note(note)


def _training(runs):
    parts = []
    names = list(
        dict.fromkeys(name for run in runs for row in run.metrics for name in row)
    )
    accuracies = [x for x in names if x.endswith("accuracy") or "accuracy_" in x]
    axes = {"epoch": "epoch", "views_seen": "views seen", "seconds": "seconds"}
    for x, label in axes.items():
        series = {}
        for run in runs:
            for name in accuracies:
                series |= _series(run, x, name, len(runs) > 1, len(accuracies) > 1)
        if series:
            parts.append(_figure(figures.curves(series, label, "accuracy", True)))
    terms = [x for x in ("loss", "invariance", "variance", "redundancy") if x in names]
    for name in terms:
        series = {}
        for run in runs:
            series |= _series(run, "epoch", name, len(runs) > 1, False)
        title = name if name == "loss" else f"{name}, per feature"
        parts.append(_figure(figures.curves(series, "epoch", title)))
    for group, title in (
        (("rankme", "effective_rank", "projection_effective_rank"), "directions used"),
        (("alpha",), "α"),
    ):
        series = {}
        for run in runs:
            for name in group:
                series |= _series(run, "epoch", name, len(runs) > 1, len(group) > 1)
        if series:
            parts.append(_figure(figures.curves(series, "epoch", title)))
    return "".join(parts)


def _series(run, x, y, with_run, with_name):
    rows = [row for row in run.metrics if x in row and y in row]
    label = ", ".join(
        part
        for part, wanted in ((run.name, with_run), (y.replace("_", " "), with_name))
        if wanted
    )
    if not rows:
        return {}
    return {label: ([row[x] for row in rows], [row[y] for row in rows])}


def _spectrum(runs):
    found = {
        run.name if len(runs) > 1 else "": run.diagnostics["eigenvalues"]
        for run in runs
        if "eigenvalues" in run.diagnostics
    }
    if not found:
        return ""
    note = (
        "Eigenvalues of the covariance of the encoder's features of the training "
        "images. The dashed line is the power law rank^-α fitted to ranks 4 to 100; "
        "natural images and features that generalise well have α near 1 (α-ReQ)."
    )
    return _figure(figures.spectra(found)) + _note(note)


def _views(runs):
    return "".join(
        _figure(run.views, run.name if len(runs) > 1 else "", "pixels")
        for run in runs
        if run.views
    )


def _features(runs):
    return "".join(
        (f"<h3>{_text(run.name)}</h3>" if len(runs) > 1 else "") + _features_of(run)
        for run in runs
        if run.diagnostics
    )


def _features_of(run):
    found = run.diagnostics
    given = run.results.get("class_names") or []
    names = {
        int(label): given[label] if label < len(given) else str(label)
        for label in found["classes"]
    }
    parts = [
        _figure(
            figures.scatter(
                found["map"], found["map_labels"], names, found["map_share"]
            ),
            "Principal components of the features, by class",
        ),
        _figure(
            figures.confusion(found["confusion"], list(names.values())),
            "Percent of each class predicted as each, by the linear probe",
        ),
    ]
    rows = []
    for query, label, near, near_labels in zip(
        found["queries"],
        found["query_labels"],
        found["neighbors"],
        found["neighbor_labels"],
        strict=True,
    ):
        cells = [
            f"{_thumbnail(image)}<br><small>{_text(names.get(int(x), x))}</small>"
            for image, x in zip([query, *near], [label, *near_labels], strict=True)
        ]
        rows.append(cells)
    header = ["test image", "nearest training images"]
    header += [""] * (found["neighbors"].shape[1] - 1)
    return "".join(parts) + _table(header, rows)


def _time(runs):
    spent = {run.name: run.results.get("time") for run in runs}
    spent = {name: time for name, time in spent.items() if time}
    return _figure(figures.bars(spent)) if spent else ""


def _settings(runs):
    settings = [_flat(run.config) for run in runs]
    names = list(dict.fromkeys(name for row in settings for name in row))
    rows = []
    for name in names:
        values = [row.get(name) for row in settings]
        same = all(value == values[0] for value in values)
        cells = [_text(value) if value is not None else "" for value in values]
        if not same:
            cells = [f"<b>{cell}</b>" for cell in cells]
        rows.append([_text(name), *cells])
    commands = "".join(
        f"<p><code>{_text(run.config['command'])}</code></p>"
        for run in runs
        if run.config.get("command")
    )
    header = ["", *(_text(run.name) for run in runs)] if len(runs) > 1 else None
    return commands + _table(header, rows)


def _flat(config):
    flat = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": x for key, x in value.items()}
        elif name != "command":
            flat[name] = value
    return flat


def _distinct(runs):
    """Gives runs of the same name numbers."""
    names = [run.name for run in runs]
    return [
        dataclasses.replace(run, name=f"{run.name} ({names[: i + 1].count(run.name)})")
        if names.count(run.name) > 1
        else run
        for i, run in enumerate(runs)
    ]


def _json(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _text(value):
    return html.escape(str(value))


def _percent(share):
    return "" if share is None else f"{float(share):.1%}"


def _number(value):
    return "" if value is None else f"{value:,.0f}"


def _note(text):
    return f'<p class="note">{text}</p>'


def _table(header, rows):
    """Of cells that are HTML already."""
    head = ""
    if header:
        head = "<tr>" + "".join(f"<th>{cell}</th>" for cell in header) + "</tr>"
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{head}{body}</table>\n"


def _figure(png, caption="", kind=""):
    data = base64.b64encode(png).decode()
    caption = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><img class="{kind}" alt="" src="data:image/png;base64,{data}">'
        f"{caption}</figure>\n"
    )


def _thumbnail(image):
    pixels = np.clip(np.round(np.asarray(image, "float32")), 0, 255).astype("uint8")
    if pixels.shape[-1] != 3:
        pixels = np.repeat(pixels[..., :1], 3, axis=-1)
    data = base64.b64encode(figures.picture(pixels)).decode()
    return f'<img class="pixels" alt="" height="64" src="data:image/png;base64,{data}">'


def main(argv):
    if len(argv) < 2:
        raise app.UsageError("Name at least one run folder.")
    default = pathlib.Path(argv[1]) / "report.html" if len(argv) == 2 else "report.html"
    path = flags.FLAGS.out or default
    write(argv[1:], path)
    print(path)


if __name__ == "__main__":
    flags.DEFINE_string("out", None, "The file; RUN/report.html, or ./report.html.")
    app.run(main)
