"""Writes the tables of the README and of two other pages from the recorded results.

    python recipes/results/table.py

A table stands between `<!-- its name -->` and `<!-- end -->`.
"""

import re

import cells
import speed_tables

ROOT = cells.RESULTS.parents[1]
PAGES = (
    ROOT / "README.md",
    ROOT / "recipes/results/README.md",
    ROOT / "recipes/benchmarks/README.md",
)
MARKED = re.compile(r"<!-- (\w+) -->\n.*?<!-- end -->\n", re.DOTALL)
# The front page shows these settings of the studies: features D of the projector, β as
# it is written there, its values on shapes and on CIFAR-10, views, share of the images.
SUMMARY = [
    (16, "4/D", (4 / 16, None), 2, 1.0),
    (16, "4/1,024", (4 / 1024, None), 2, 1.0),
    (1024, "4/D", (4 / 1024, None), 2, 1.0),
    *(
        (128, "c/D", (4 / 128, 16 / 128), views, fraction)
        for views, fraction in ((2, 1.0), (4, 1.0), (4, 0.5), (4, 0.25), (8, 0.25))
    ),
]
STUDIED = "shapes-small", "cifar10-small"
SHARES = {1.0: "all", 0.5: "half", 0.25: "a quarter", 0.125: "an eighth"}


def outcome():
    """Show the end of what the command of the README's `Run it` prints."""
    result = cells.read("shapes-tensorflow")
    names = {"pixels": "raw pixels", "random_init": "random weights"}
    names |= {"final": "pretrained", "final_16_views": "on 16 views"}
    lines = ["```text", "Linear probe, accuracy on the test images:"]
    lines += [f"  {names[key]:16}{result['probe'][key]:7.1%}" for key in names]
    return "\n".join([*lines, "```"])


def summary():
    """Tabulate the paper's two recommendations: what the front page shows."""
    found = dict(_settings())
    rows = []
    for dim, written, betas, views, fraction in SUMMARY:
        row = [f"{dim:,}", written, views, SHARES[fraction]]
        for data, beta in zip(STUDIED, betas):
            key = data, dim, views, -fraction, beta
            row[2] = _views(found.get(key, {"views": views}))
            row.append(cells.spread(found[key]["probe"]) if beta else "-")
        rows.append(row)
    baselines = [
        next(row for key, row in found.items() if key[0] == data) for data in STUDIED
    ]
    empty = ["-"] * 3
    means = [cells.percent(row["random_init"]["mean"]) for row in baselines]
    rows.append(["random weights", *empty, *means])
    rows.append(
        ["raw pixels", *empty, *(cells.percent(x["pixels"]) for x in baselines)]
    )
    return cells.table("D | β | Views | Images | Shapes | CIFAR-10", rows)


def runs():
    """Tabulate the runs of recipes."""
    rows = []
    for result in cells.read_all().values():
        if "recipe" in result and "probe" in result:
            command = result["command"].split("python recipes/")[1]
            command = command.removesuffix(" --data_dir=DATA_DIR")
            engine = result.get("augment", "kerascv")  # Older files had no choice.
            if result["dataset"] == "cifar10" and "augment" not in result:
                command += " --augment=kerascv"  # the default of that time
            row = [f"`{command}`", engine, cells.BACKENDS[result["backend"]]]
            names = ("pixels", "random_init", "final")
            rows.append(row + [cells.percent(result["probe"][x]) for x in names])
    return cells.table(
        "Run | Views by | Backend | Pixels | Random weights | Pretrained", rows
    )


def h100_run():
    """Tabulate the run of CIFAR-10 on an H100, at the epochs that were probed."""
    result = cells.read("cifar10-jax-h100")
    rows = []
    for row in cells.read_csv("cifar10-jax-h100"):
        if row["probe_accuracy"]:
            speeds = (
                float(row[x]) for x in ("views_seen", "seconds", "views_per_second")
            )
            found = (float(row[x]) for x in ("probe_accuracy", "knn_accuracy"))
            rows.append([row["epoch"], *map(cells.rate, speeds)])
            rows[-1] += map(cells.percent, found)
    baselines = result["baselines"]
    empty = ["-"] * 3
    rows.append(["raw pixels", *empty, cells.percent(baselines["pixels"]), "-"])
    rows.append(
        ["random weights", *empty, cells.percent(baselines["random_init"]), "-"]
    )
    return cells.table(
        "Epoch | Views seen | Seconds of training | Views/s | Probe | Neighbours", rows
    )


def studies():
    """Tabulate each setting of the studies: means, and ranges over the seeds."""
    rows = []
    for (data, *_), row in _settings():
        rows.append(
            [
                *(data, _views(row), f"{100 * row['fraction']:g} %"),
                *(row["projector_dim"], f"{row['beta']:.2g}", len(row["seeds"])),
                *(cells.spread(row["probe"]), cells.spread(row["probe_4_views"])),
                cells.percent(row["random_init"]["mean"]),
                *(cells.percent(row["pixels"]), f"{row['views_seen']:,}"),
                round(row["seconds"]),
            ]
        )
    return cells.table(
        "Data, size | Views | Images | Projector | β | Seeds | Probe, one view "
        "| 4 views | Random weights | Pixels | Views seen | Seconds",
        rows,
    )


def _settings():
    """Return each setting once, though studies share runs: `[(key, row)]`, in order."""
    found = {}
    for result in cells.read_all().values():
        for row in result.get("settings", ()):
            key = result["data"], row["projector_dim"], row["views"]
            key += -row["fraction"], row["beta"]
            version = result.get("stream_version", 1)
            if len(found.get(key, row)["seeds"]) <= len(row["seeds"]):
                found[key] = {**row, "stream_version": version}
    return [(key, found[key]) for key in sorted(found)]


def _views(row):
    """Write a number of views; until stream version 4 the loss at 2 views differed."""
    is_pairs = row["views"] == 2 and row.get("stream_version", 1) < 4
    return "2, all pairs" if is_pairs else row["views"]


def searches():
    """Tabulate what the searches chose, and how it did on held-out training images."""
    rows = []
    for data in STUDIED:
        tried = cells.read(f"search-{data}")["rows"]
        for chosen in (row for row in tried if "chosen" in row):
            views, (found, c) = chosen["views"], chosen["chosen"].values()
            same = [row for row in tried if row["views"] == views and "beta" in row]
            rates = sorted({row["learning_rate"] for row in same})
            (kept, *_) = (
                row["validation"][0]
                for row in same
                if (row["learning_rate"], row["beta"]) == (found, c / 128)
            )
            images = SHARES[same[0]["fraction"]]
            span = f"{rates[0]:g} to {rates[-1]:g}"
            version = cells.read(f"search-{data}").get("stream_version", 1)
            shown = _views({"views": views, "stream_version": version})
            row = [data, shown, images, span, f"{found:g}", f"{c:g}/D"]
            rows.append([*row, cells.percent(kept)])
    return cells.table(
        "Data, size | Views | Images | Rates tried | Rate chosen | β chosen | Probe",
        rows,
    )


def formula():
    """Tabulate the cells of the study of formulas that are complete."""
    rows = []
    for data in ("shapes", "cifar10"):
        if not (cells.RESULTS / f"formula-{data}.json").exists():
            continue
        for row in cells.read(f"formula-{data}")["cells"]:
            line = [data, row["loss"], row["views"], row["images_per_step"]]
            found = f"{row['learning_rate']:g}{'' if row['is_inside'] else ' (edge)'}"
            line += [found, f"{row['c']:g}"]
            for name in ("probe", "probe_16_views"):
                low, mean, high = (row[name][x] for x in ("low", "mean", "high"))
                line.append(f"{100 * mean:.1f} % ({100 * low:.1f} to {100 * high:.1f})")
            rows.append(line)
    return cells.table(
        "Data | Loss | Views | Images a step | Rate | c | Probe, one view | 16 views",
        rows,
    )


def targets():
    """Tabulate the seconds of training until an error on shapes, by views."""
    rows = cells.read_csv("pareto-shapes-small-targets")
    found = []
    for error in dict.fromkeys(row["error"] for row in rows):

        def fastest(views, projector="", fraction="", error=error):
            seconds = [
                float(row["seconds"])
                for row in rows
                if (row["error"], row["views"]) == (error, views)
                and row["projector_dim"].startswith(projector)
                and row["fraction"].startswith(fraction)
            ]
            return f"{min(seconds):.1f}" if seconds else "-"

        alone = fastest("2", "128", "1.0")
        found.append(
            [cells.percent(float(error), 0), alone, *(fastest(v) for v in "248")]
        )
    return cells.table(
        "Error | 2 views, all pairs, all images, D = 128 | 2, any | 4 views, any "
        "| 8 views, any",
        found,
    )


def dynamics():
    """Tabulate the steps to the second feature, against the prediction."""
    rows = []
    for row in cells.read_csv("feature_dynamics_times"):
        steps, predicted = float(row["steps"]), float(row["steps_predicted"])
        numbers = row["beta"], f"{float(row['lambda_2']):.2f}", cells.rate(steps)
        rows.append([*numbers, cells.rate(predicted)])
    return cells.table("β | λ₂ | Steps to the second feature | Predicted", rows)


def kernel():
    """Tabulate the angles between what objectives learn and top eigenfunctions."""
    last = {row["objective"]: row for row in cells.read_csv("augmentation_kernel")}
    rows = [
        [name, row["step"], *(f"{float(row[f'angle_{i}']):.3f}" for i in range(1, 6))]
        for name, row in last.items()
    ]
    return cells.table("Objective | Steps | 1st angle | 2nd | 3rd | 4th | 5th", rows)


TABLES = {
    function.__name__: function
    for function in (
        *(outcome, summary, runs, h100_run, studies, searches, formula, targets),
        *(dynamics, kernel, *speed_tables.TABLES),
    )
}


def fill(text):
    """Return a page with its tables."""

    def filled(match):
        name = match[1]
        return f"<!-- {name} -->\n{TABLES[name]()}\n<!-- end -->\n"

    return MARKED.sub(filled, text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(fill(page.read_text("utf-8")), "utf-8")
