"""Writes the tables of the README from the JSON files beside this script.

python recipes/results/table.py
"""

import json
import pathlib

RESULTS = pathlib.Path(__file__).parent
README = RESULTS.parents[1] / "README.md"
# What comes between `<!-- runs -->` and `<!-- end -->` in the README, and so on.
MARK, END = "<!-- {} -->\n", "<!-- end -->\n"


def runs():
    """A row for each run of a recipe."""
    lines = [
        "| Run | Views by | Backend | Pixels | Random weights | Pretrained |",
        "|---|---|---|---|---|---|",
    ]
    for result in _read():
        if "recipe" in result and "probe" in result:
            command = result["command"].split("python recipes/")[1]
            command = command.removesuffix(" --data_dir=DATA_DIR")
            probe = result["probe"]
            names = ("pixels", "random_init", "final")
            maker = result.get("augment", "kerascv")  # Older files had no choice.
            if result["dataset"] == "cifar10" and "augment" not in result:
                command += " --augment=kerascv"  # was the default then
            cells = [f"`{command}`", maker, result["backend"]]
            lines.append(_row(cells + [_percent(probe[name]) for name in names]))
    return "\n".join(lines)


def studies():
    """A row for each setting of the studies; means, and ranges over the seeds."""
    lines = [
        "| Data, size | Views | Images | Projector | β | Seeds | Probe, one view "
        "| 4 views | Random weights | Pixels | Views seen | Seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for data, row in _settings():
        cells = [data, row["views"], f"{100 * row['fraction']:g} %"]
        cells += [row["projector_dim"], f"{row['beta']:.2g}", len(row["seeds"])]
        cells += [_spread(row["probe"]), _spread(row["probe_4_views"])]
        cells += [_percent(row["random_init"]["mean"]), _percent(row["pixels"])]
        cells += [f"{row['views_seen']:,}", round(row["seconds"])]
        lines.append(_row(cells))
    return "\n".join(lines)


def _settings():
    """Each setting once, though studies share runs: `[(data, row)]`, in order."""
    found = {}
    for result in _read():
        for row in result.get("settings", ()):
            key = result["data"], row["projector_dim"], row["views"]
            key += -row["fraction"], row["beta"]
            if len(found.get(key, row)["seeds"]) <= len(row["seeds"]):
                found[key] = row
    return [(key[0], found[key]) for key in sorted(found)]


def fill(text):
    """The README with its tables."""
    for name, make in (("runs", runs), ("studies", studies)):
        before, rest = text.split(MARK.format(name))
        after = rest.split(END, 1)[1]
        text = f"{before}{MARK.format(name)}\n{make()}\n\n{END}{after}"
    return text


def _read():
    return [json.loads(p.read_text("utf-8")) for p in sorted(RESULTS.glob("*.json"))]


def _row(cells):
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _percent(share):
    return f"{100 * share:.1f} %"


def _spread(values):
    low, high = 100 * values["min"], 100 * values["max"]
    return f"{_percent(values['mean'])} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    README.write_text(fill(README.read_text("utf-8")), "utf-8")
