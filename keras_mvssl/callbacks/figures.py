"""Pictures of a report, as PNG bytes."""

import io

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_mvssl.evaluation.spectrum import power_law

# Size of a figure in inches, and its pixels per inch.
_WIDTH, _HEIGHT, _DPI = 4.6, 3.2, 110
_LEGEND_BESIDE = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}


def curves(series, x_label, y_label, percent=False, levels=None):
    """Draw lines over a common axis.

    Args:
        series: `{label: (x values, y values)}`.
        x_label: Title of the x axis.
        y_label: Title of the y axis.
        percent: Whether y values are shares, shown in percent.
        levels: Optional `{label: y value}` to compare with, drawn as dotted lines.
    """
    figure, axis = _axis()
    levels = levels or {}
    lines = [
        axis.plot(x, y, marker="o", markersize=3, linewidth=1.3)[0]
        for x, y in series.values()
    ]
    for i, value in enumerate(levels.values()):
        shade = str(0.7 * i / len(levels))
        lines.append(axis.axhline(value, color=shade, linestyle=":", linewidth=1.3))
    axis.set(xlabel=x_label, ylabel=y_label)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if percent:
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    _legend(axis, lines, [*series, *levels])
    return _png(figure)


def spectra(eigenvalues):
    """Draw eigenvalues against their rank, log-log, with the fitted power laws.

    Args:
        eigenvalues: `{label: eigenvalues}`, largest first.
    """
    figure, axis = _axis()
    lines, labels = [], []
    for i, (label, values) in enumerate(eigenvalues.items()):
        values = values[values > 0]
        if not len(values):
            continue
        rank, values = np.arange(1, len(values) + 1), values / values.sum()
        try:
            law = power_law(values)
            label = f"{label}, α = {law.alpha:.2f}".lstrip(", ")
            fitted = np.arange(law.ranks[0], law.ranks[1] + 1)
            line = np.exp(law.intercept) * fitted**-law.alpha
            axis.plot(fitted, line, color=f"C{i}", linestyle="--", linewidth=1)
        except ValueError:  # There are too few eigenvalues to fit.
            pass
        lines += axis.plot(rank, values, color=f"C{i}", linewidth=1.5)
        labels.append(label)
    axis.set(xscale="log", yscale="log", xlabel="rank", ylabel="share of the variance")
    _legend(axis, lines, labels)
    return _png(figure)


def scatter(points, labels, names, shares):
    """Draw a map of features, coloured by class.

    Args:
        points: `(N, 2)`.
        labels: `(N,)` ints, or None.
        names: `{label: name}`.
        shares: Shares of the variance that the two axes explain.
    """
    figure, axis = _axis()
    if labels is None:
        labels = np.zeros(len(points), int)
    classes = np.unique(labels)
    palette = colormaps["tab10" if len(classes) <= 10 else "turbo"]
    dots = []
    for i, label in enumerate(classes):
        color = palette(i if len(classes) <= 10 else i / len(classes))
        dots.append(
            axis.scatter(*points[labels == label].T, s=4, alpha=0.6, color=color)
        )
    axis.set(
        xlabel=f"component 1 ({shares[0]:.0%})", ylabel=f"component 2 ({shares[1]:.0%})"
    )
    if names and len(classes) <= 20:
        texts = [names.get(label, label) for label in classes]
        _legend(axis, dots, texts, markerscale=3, **_LEGEND_BESIDE)
    return _png(figure)


def confusion(counts, names):
    """Draw the shares of each class that are predicted as each class.

    Args:
        counts: `(classes, classes)`, numbers of images by class and by prediction.
        names: Names of the classes.
    """
    figure, axis = _axis(height=_WIDTH)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="predicted", ylabel="class")
    if len(names) <= 20:
        ticks = np.arange(len(names))
        names = _texts(names)
        axis.set_xticks(ticks, names, rotation=90, fontsize=7, parse_math=False)
        axis.set_yticks(ticks, names, fontsize=7, parse_math=False)
        for row, column in np.argwhere(shares >= 0.005):
            axis.text(
                column,
                row,
                f"{100 * shares[row, column]:.0f}",
                ha="center",
                va="center",
                fontsize=6,
                color="white" if shares[row, column] > 0.5 else "black",
            )
    return _png(figure)


def bars(seconds):
    """Draw the time that parts took, a stacked bar for each label.

    Args:
        seconds: `{label: {part: seconds}}`.
    """
    figure, axis = _axis(height=0.7 + 0.4 * len(seconds), width=2 * _WIDTH)
    parts = list(dict.fromkeys(part for row in seconds.values() for part in row))
    left = np.zeros(len(seconds))
    drawn = []
    for part in parts:
        widths = np.array([row.get(part, 0.0) for row in seconds.values()])
        drawn.append(axis.barh(range(len(seconds)), widths, left=left))
        left += widths
    labels = _texts(seconds)
    axis.set_yticks(range(len(seconds)), labels, fontsize=8, parse_math=False)
    axis.invert_yaxis()
    axis.set(xlabel="seconds")
    _legend(axis, drawn, parts, **_LEGEND_BESIDE)
    return _png(figure)


def picture(pixels, scale=1):
    """Return a uint8 array `(h, w, 3)` as PNG, enlarged `scale` times, not smoothed."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image = image.resize((image.width * scale, image.height * scale), Image.NEAREST)
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def _axis(width=_WIDTH, height=_HEIGHT):
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    axis.grid(alpha=0.25)
    return figure, axis


def _texts(labels):
    """Return texts that can be drawn: names of folders may hold bytes of no letter."""
    return [str(x).encode("utf-8", "backslashreplace").decode() for x in labels]


def _legend(axis, drawn, labels, **style):
    # Lines are given explicitly, as matplotlib else omits labels that begin with "_".
    if not any(labels):
        return
    legend = axis.legend(drawn, _texts(labels), fontsize=7, **style)
    for text in legend.get_texts():
        text.set_parse_math(False)  # Dollar signs in names are no formulas.


def _png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()
