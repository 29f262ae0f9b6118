"""Results of a study: every epoch of every run, means and ranges, and a plot."""

import contextlib
import csv
import os
import pathlib
import sys

import keras
import matplotlib
import numpy as np
from absl import flags

from common import finished
from keras_mvssl import training

matplotlib.use("Agg")
from matplotlib import pyplot as plt

# Flags that results do not tell: folders of a machine, and shares of the work.
FOLDER_FLAGS = ("workdir", "out", "data_dir", "share")


def by_setting(runs):
    """Group runs by their setting: `[(setting, runs)]`, in order."""
    groups = {}
    for run in runs:
        groups.setdefault(tuple(run.setting.values()), []).append(run)
    return [(group[0].setting, group) for group in groups.values()]


def mean_curve(runs, x):
    """Compute means of a column over runs, and lowest, mean and highest accuracies."""
    curves = [[(row[x], row["accuracy"]) for row in run.curve] for run in runs]
    values = np.array(curves, "float64")
    accuracy = values[:, :, 1]
    return values[:, :, 0].mean(0), accuracy.min(0), accuracy.mean(0), accuracy.max(0)


def summary(runs):
    """Compute means and ranges over the seeds of each setting, in rows for JSON."""

    def spread(values):
        return {"mean": float(np.mean(values)), "min": min(values), "max": max(values)}

    rows = []
    for setting, group in by_setting(runs):
        probes = [run.results["probe"] for run in group]
        rows.append(
            {
                **setting,
                "seeds": [run.seed for run in group],
                "views_seen": group[0].results["views_seen"],
                "seconds": round(
                    float(np.mean([r.results["seconds"] for r in group])), 1
                ),
                "probe": spread([probe["final"] for probe in probes]),
                "probe_4_views": spread([probe["4_views"] for probe in probes]),
                "random_init": spread([probe["random_init"] for probe in probes]),
                "pixels": probes[0]["pixels"],
            }
        )
    return rows


@contextlib.contextmanager
def replace_file(path, part=""):
    """Yield a temporary path beside a file, and put the file written there in place.

    The temporary path has the suffix of the file, from which writers tell the format.
    Processes that write one file at the same time are told apart by `part`.
    """
    unfinished = path.with_name(f".unfinished{part}-{path.name}")
    yield unfinished
    os.replace(unfinished, path)


@contextlib.contextmanager
def write_table(path):
    """Open a file for `csv` under a temporary name, and rename it when it is whole."""
    with (
        replace_file(path) as unfinished,
        open(unfinished, "w", newline="", encoding="utf-8") as file,
    ):
        yield file


def draw_pixels(axis, runs):
    """Draw a line at the probe of raw pixels."""
    pixels = 100 * runs[0].results["probe"]["pixels"]
    axis.axhline(pixels, color="gray", ls=":", lw=1, label="raw pixels")


def write(study, runs, found, figure, out, **more):
    """Write CSV, JSON and PNG of a study, named by study, data set and size.

    Args:
        study: Name of the study.
        runs: `Runs`.
        found: The `finished.StudyRun`s to write.
        figure: The plot, which is closed.
        out: Folder of the files.
        **more: Further entries of the JSON file.
    """
    path = out / f"{study}-{runs.title}"
    with write_table(path.with_suffix(".csv")) as file:
        columns = ["epoch", "views_seen", "seconds", "accuracy", "accuracy_4_views"]
        names = [*finished.SETTING_NAMES, "seed", *columns]
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        for run in found:
            last = {"accuracy_4_views": run.results["probe"]["4_views"]}
            for row in run.curve:
                extra = last if row is run.curve[-1] else {}
                writer.writerow({**run.setting, "seed": run.seed, **row, **extra})
    content = {
        "study": study,
        "data": runs.title,
        "images": runs.images,
        "settings": summary(found),
        "commits_of_runs": sorted({str(run.results["commit"]) for run in found}),
        **more,
        **training.provenance(),
        "command": command(),
    }
    training.write_json(path.with_suffix(".json"), content)
    with replace_file(path.with_suffix(".png")) as unfinished:
        figure.savefig(unfinished, dpi=110)
    plt.close(figure)
    for row in content["settings"]:
        probe = row["probe"]
        print(
            f"{row['views']} views, {row['fraction']:.1%} of the images, projector "
            f"{row['projector_dim']}, β {row['beta']:.2g}: {probe['mean']:.1%} "
            f"({probe['min']:.1%} to {probe['max']:.1%}), with 4 views "
            f"{row['probe_4_views']['mean']:.1%}; {row['views_seen']:,} views, "
            f"{row['seconds']:.0f} s"
        )
    print(f"Written to {path}.csv, .json and .png")


def write_search(runs, rows, out):
    """Write the settings that a search compared and chose."""
    path = out / f"search-{runs.title}.json"
    content = {"study": "search", "data": runs.title, "seeds": runs.seeds, "rows": rows}
    content |= {**training.provenance(), "command": command()}
    training.write_json(path, content)
    print(f"Written to {path}")


def command():
    """Return the command of a study, without the folders of this machine."""
    given = flags.FLAGS.flags_by_module_dict().get(sys.argv[0], [])
    given = [f.serialize() for f in given if f.present and f.name not in FOLDER_FLAGS]
    script = pathlib.Path(sys.argv[0]).name
    backend = keras.backend.backend()
    return " ".join(
        [f"KERAS_BACKEND={backend} python recipes/studies/{script}", *given]
    )
