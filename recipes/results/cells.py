"""Reading of recorded results, and the cells of their tables."""

import csv
import json
import pathlib

RESULTS = pathlib.Path(__file__).parent
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def read(name):
    """Return the content of a JSON file beside this script, named without `.json`."""
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def read_all():
    """Return the content of every JSON file beside this script, by name."""
    return {path.stem: read(path.stem) for path in sorted(RESULTS.glob("*.json"))}


def read_csv(name):
    """Return the rows of a CSV file beside this script, named without `.csv`."""
    with open(RESULTS / f"{name}.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(header, rows):
    """Lay out a Markdown table; `header` holds its columns, separated by `|`."""
    columns = [column.strip() for column in header.split("|")]
    lines = [f"| {' | '.join(map(str, row))} |" for row in (columns, *rows)]
    lines.insert(1, "|---" * len(columns) + "|")
    return "\n".join(lines)


def percent(share, digits=1):
    return f"{100 * share:.{digits}f} %"


def spread(values):
    """Write the mean over the seeds, and the lowest and highest of them."""
    low, high = 100 * values["min"], 100 * values["max"]
    return f"{percent(values['mean'])} ({low:.1f} to {high:.1f})"


def rate(value):
    return f"{value:,.0f}"


def share_of(part, whole):
    """Write a rate and its share of another one; `-` for a rate that is missing."""
    return "-" if part is None else f"{rate(part)} ({percent(part / whole, 0)})"
