"""Sections of a report: HTML, each made from the `RunContents` of one run or more."""

from keras_mvssl.callbacks import figures
from keras_mvssl.report import page


def results(runs):
    """Return a table of accuracies, views seen and speed."""
    given = any(run.config.get("initial_weights") for run in runs)
    start = "before training" if given else "random weights"
    columns = {
        "pixels": lambda run: page.percent(_probe(run, "pixels")),
        start: lambda run: page.percent(_probe(run, "random_init")),
        "pretrained": lambda run: page.percent(_probe(run, "final")),
        "on 16 views": lambda run: page.percent(_probe(run, "final_16_views")),
        "20 neighbours": lambda run: page.percent(run.diagnostics.get("knn_20")),
        "200 neighbours": lambda run: page.percent(run.diagnostics.get("knn_200")),
        "views seen": lambda run: page.number(run.results.get("views_seen")),
        "views/s": lambda run: page.number(run.results.get("views_per_second")),
        "seconds of training": lambda run: page.number(run.results.get("seconds")),
    }
    rows = [[page.text(run.name), *(f(run) for f in columns.values())] for run in runs]
    note = (
        "Accuracies are measured on the test images, which were used neither for "
        "training nor for any choice. They are those of a linear probe on frozen "
        "features of one clean view (multinomial logistic regression, its strength "
        "chosen on held-out training labels), of the paper's probe on features "
        "averaged over 16 views, and of the votes of the nearest training images by "
        "cosine."
    )
    if not any(run.results for run in runs):
        return "<p>The run has not ended.</p>"
    if all(_probe(run, "final") is None for run in runs):
        note = "The images have no labels, so no probe was fitted."
    if any(run.results.get("batch_statistics") == "of images" for run in runs):
        note += (
            " Batch normalisation lagged behind the training, which was short for its "
            "momentum: the encoder is measured, and saved, with the statistics of "
            "training images."
        )
    return page.table(["", *columns], rows) + page.note(note)


def _probe(run, name):
    return (run.results.get("probe") or {}).get(name)


def training(runs):
    """Return curves of accuracies, the loss, its terms, and spectral measures."""
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
            png = figures.curves(series, label, "accuracy", True, _baselines(runs))
            parts.append(page.figure(png, alt=f"accuracy against {label}"))
    terms = [x for x in ("loss", "invariance", "variance", "redundancy") if x in names]
    for name in terms:
        series = {}
        for run in runs:
            series |= _series(run, "epoch", name, len(runs) > 1, False)
        title = name if name == "loss" else f"{name}, per feature"
        png = figures.curves(series, "epoch", title)
        parts.append(page.figure(png, alt=f"{title} against epochs"))
    for group, title in (
        (("rankme", "effective_rank", "projection_effective_rank"), "directions used"),
        (("alpha",), "α"),
    ):
        series = {}
        for run in runs:
            for name in group:
                series |= _series(run, "epoch", name, len(runs) > 1, len(group) > 1)
        if series:
            png = figures.curves(series, "epoch", title)
            parts.append(page.figure(png, alt=f"{title} against epochs"))
    return "".join(parts)


def _baselines(runs):
    """Return accuracies without pretraining, for a run that is shown alone."""
    if len(runs) > 1:
        return {}
    found = {name: _probe(runs[0], name) for name in ("pixels", "random_init")}
    return {
        f"probe of {name.replace('_init', ' weights')}": value
        for name, value in found.items()
        if value is not None
    }


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


def spectrum(runs):
    """Return the eigenspectra of the features, in one picture."""
    found = {
        run.name if len(runs) > 1 else "": run.diagnostics["eigenvalues"]
        for run in runs
        if "eigenvalues" in run.diagnostics
    }
    if not found:
        return ""
    note = (
        "Eigenvalues of the covariance of the encoder's features of the labelled "
        "training images, or of some training images where none have labels. The "
        "dashed line is the power law rank^-α fitted to ranks 4 to 100; natural images "
        "and features that generalise well have α near 1 (α-ReQ)."
    )
    return page.figure(figures.spectra(found), alt="eigenspectrum") + page.note(note)


def views(runs):
    """Return the pictures of views."""
    pictures = "".join(
        page.figure(run.views, run.name if len(runs) > 1 else "", "pixels views")
        for run in runs
        if run.views
    )
    note = (
        "Each row shows one image: its views in the first training step, preceded by "
        "the clean image where the model makes its views itself."
    )
    left_out = "".join(
        page.note(page.text(f"{run.name}: {run.left_out}"))
        for run in runs
        if run.left_out
    )
    return (pictures + page.note(note) if pictures else "") + left_out


def features(runs):
    """Return the map of features, confusions and nearest neighbours of each run."""
    return "".join(
        (f"<h3>{page.text(run.name)}</h3>" if len(runs) > 1 else "") + _features_of(run)
        for run in runs
        if "map" in run.diagnostics
    )


def _features_of(run):
    found = run.diagnostics
    given = run.results.get("class_names") or []
    names = {
        int(label): given[label] if label < len(given) else str(label)
        for label in found.get("classes", ())
    }
    labels, by_class = found.get("map_labels"), ", by class" if names else ""
    parts = [
        page.figure(
            figures.scatter(found["map"], labels, names, found["map_share"]),
            f"Principal components of the features{by_class}",
        )
    ]
    if "confusion" in found:
        parts.append(
            page.figure(
                figures.confusion(found["confusion"], list(names.values())),
                "Percent of each class predicted as each, by the linear probe",
            )
        )
    header = ["test image", f"nearest of {int(found['searched']):,} training images"]
    if not names:
        header = ["image", f"nearest of {int(found['searched']):,}"]
    header += [""] * (found["neighbors"].shape[1] - 1)
    return "".join(parts) + page.table(header, _neighbors(found, names))


def _neighbors(found, names):
    """Return rows of thumbnails: an image, its nearest images, and their classes."""
    pictures = [
        [query, *near]
        for query, near in zip(found["queries"], found["neighbors"], strict=True)
    ]
    captions = [[""] * len(row) for row in pictures]
    if names:
        captions = [
            [names.get(int(x), x) for x in (label, *near)]
            for label, near in zip(
                found["query_labels"], found["neighbor_labels"], strict=True
            )
        ]
    return [
        [page.thumbnail(image, text) for image, text in zip(*row, strict=True)]
        for row in zip(pictures, captions, strict=True)
    ]


def time(runs):
    """Return a picture of the time that parts of each run took."""
    spent = {run.name: run.results.get("time") for run in runs}
    spent = {name: time for name, time in spent.items() if time}
    return page.figure(figures.bars(spent), alt="seconds by part") if spent else ""


def settings(runs):
    """Return the commands and settings of runs; settings that differ are bold."""
    settings = [_flat(run.config) for run in runs]
    names = list(dict.fromkeys(name for row in settings for name in row))
    rows = []
    for name in names:
        values = [row.get(name) for row in settings]
        same = all(value == values[0] for value in values)
        cells = [page.text(value) if value is not None else "" for value in values]
        if not same:
            cells = [f"<b>{cell}</b>" for cell in cells]
        rows.append([page.text(name), *cells])
    commands = "".join(
        f"<p><code>{page.text(run.config['command'])}</code></p>"
        for run in runs
        if run.config.get("command")
    )
    header = ["", *(page.text(run.name) for run in runs)] if len(runs) > 1 else None
    return commands + page.table(header, rows)


def _flat(config):
    flat = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": x for key, x in value.items()}
        elif name != "command":
            flat[name] = value
    return flat
