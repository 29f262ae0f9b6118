"""The pictures of a report, as PNG."""

import io

import numpy as np
from matplotlib.figure import Figure

from keras_mvssl.evaluation.spectrum import power_law

_WIDTH, _HEIGHT, _DPI = 4.6, 3.2, 110


def curves(series, x_label, y_label, percent=False):
    """Lines over a common axis.

    Args:
        series: `{label: (x values, y values)}`.
        x_label, y_label: Titles of the axes.
        percent: Whether y values are shares, shown in percent.
    """
    figure, axis = _axis()
    for label, (x, y) in series.items():
        axis.plot(x, y, marker="o", markersize=3, linewidth=1.3, label=label)
    axis.set(xlabel=x_label, ylabel=y_label)
    if percent:
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    _legend(axis)
    return _png(figure)


def spectra(eigenvalues):
    """Eigenvalues against their rank, log-log, with the fitted power laws.

    Args:
        eigenvalues: `{label: eigenvalues}`.
    """
    figure, axis = _axis()
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
        except ValueError:  # too few directions for a line
            pass
        axis.plot(rank, values, color=f"C{i}", linewidth=1.5, label=label or None)
    axis.set(xscale="log", yscale="log", xlabel="rank", ylabel="share of the variance")
    _legend(axis)
    return _png(figure)


def scatter(points, labels, names, shares):
    """A map of features by class.

    Args:
        points: `(N, 2)`.
        labels: `(N,)` ints.
        names: `{label: name}`.
        shares: Shares of the variance of the two axes.
    """
    figure, axis = _axis()
    for i, label in enumerate(np.unique(labels)):
        rows = labels == label
        color = {"color": f"C{i}"} if i < 10 else {}
        axis.scatter(
            *points[rows].T, s=4, alpha=0.6, label=names.get(label, label), **color
        )
    axis.set(
        xlabel=f"component 1 ({shares[0]:.0%})", ylabel=f"component 2 ({shares[1]:.0%})"
    )
    if len(np.unique(labels)) <= 20:
        axis.legend(
            fontsize=7, markerscale=3, loc="center left", bbox_to_anchor=(1.0, 0.5)
        )
    return _png(figure)


def confusion(counts, names):
    """Shares of each class that are predicted as each.

    Args:
        counts: `(classes, classes)`, by class and by prediction.
        names: Names of the classes.
    """
    figure, axis = _axis(height=_WIDTH)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="predicted", ylabel="class")
    if len(names) <= 20:
        ticks = np.arange(len(names))
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
    """Where time went, `{label: {part: seconds}}`, a stacked bar for each label."""
    figure, axis = _axis(height=0.7 + 0.4 * len(seconds), width=2 * _WIDTH)
    parts = list(dict.fromkeys(part for row in seconds.values() for part in row))
    left = np.zeros(len(seconds))
    for part in parts:
        widths = np.array([row.get(part, 0.0) for row in seconds.values()])
        axis.barh(range(len(seconds)), widths, left=left, label=part)
        left += widths
    axis.set_yticks(range(len(seconds)), list(seconds), fontsize=8, parse_math=False)
    axis.invert_yaxis()
    axis.set(xlabel="seconds")
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _png(figure)


def picture(pixels, scale=1):
    """A uint8 array `(h, w, 3)` as PNG, enlarged without smoothing."""
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


def _legend(axis):
    if any(axis.get_legend_handles_labels()[1]):
        axis.legend(fontsize=7)


def _png(figure):
    for axis in figure.axes:
        # A name with dollar signs is a name, not a formula.
        for text in axis.get_legend().get_texts() if axis.get_legend() else ():
            text.set_parse_math(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()
