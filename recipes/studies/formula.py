"""What the formula gives, and what more views give beyond it, at equal views seen.

    python recipes/studies/formula.py --dataset=shapes
    python recipes/studies/formula.py --dataset=cifar10 --data_dir=~/tensorflow_datasets

Barlow Twins compares all pairs of views (`pairing="all"`, at 2 views the original), or
each view with the mean view (`pairing="mean"`, the authors' formula for more than 2).
Their code changes from one to the other between 2 and 4 views, so that a comparison of
2 with 4 views changes two things at once. Here each formula is trained with 2, 4, 8 and
16 views: 64 images a step, the same number of views in all, hence fewer steps with more
views; and, with the mean view, at the same number of steps, hence fewer images a step.
At 2 views the parts of the loss are also mixed: the diagonal by pairs and the rest by
the mean view, and the other way round. VICReg and the reformulated loss stand beside.

A tiny ResNet, a projector of 128 features, AdamW with warm-up and cosine decay. The
learning rate and c of β = c/D (of VICReg: four times the weight of the covariance) are
searched for each cell: 15 pairs, on a coarse grid and then by factors of 2 around the
best, each on two seeds of its own, by a probe on held-out training images. Five other
seeds are reported, on the test images: by one clean view, and by the paper's 16 views
(one clean and 15 augmented, features averaged).

Runs are rows of `formula-DATASET-runs.csv` in `--out`; a study that was interrupted
goes on from there. `--share=1/2` and `--share=2/2` are two processes that divide the
cells. The table and the picture hold the cells that are complete.
"""

import collections
import dataclasses
import pathlib
import re

import numpy as np
from absl import app
from absl import flags
from common import sizes
from common import tables
from common import versions
from common.short_runs import REPORTED_SEEDS
from common.short_runs import SEARCH_SEEDS
from common.short_runs import TRIALS
from common.short_runs import Cell
from common.short_runs import Table
from common.short_runs import Trainer
from common.short_runs import best_of
from common.short_runs import neighbors

import keras_mvssl as mv
from keras_mvssl import training

DATASET = flags.DEFINE_enum(
    "dataset", "shapes", ["shapes", "cifar10"], "Name of the data set."
)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the data, or an npz file.")
OUT = flags.DEFINE_string("out", "recipes/results", "Folder of the results.")
SHARE = flags.DEFINE_string("share", "1/1", "Which share of the cells to run.")

VIEWS_SEEN = {"shapes": 40_000, "cifar10": 100_000}
IMAGES = 64  # in a step
# Two-sided 95 % of Student's t with 4 degrees of freedom, for 5 seeds.
T = 2.776


class MixedBarlowTwins(mv.losses.BarlowTwins):
    """Barlow Twins with the diagonal of one pairing and the rest of the other.

    Args:
        beta: Weight β of the redundancy.
        diagonal: Pairing of the invariance, `"mean"` or `"all"`. The redundancy is of
            the other one.
    """

    def __init__(self, beta, diagonal):
        super().__init__(beta, pairing=diagonal)
        other = "all" if diagonal == "mean" else "mean"
        self.other = mv.losses.BarlowTwins(beta, pairing=other)

    def terms(self, projections):
        invariance = super().terms(projections)["invariance"]
        redundancy = self.other.terms(projections)["redundancy"]
        return {"invariance": invariance, "redundancy": redundancy}


def barlow_twins(pairing):
    return lambda c, dim: mv.losses.BarlowTwins(c / dim, pairing=pairing)


def mixed(diagonal):
    return lambda c, dim: MixedBarlowTwins(c / dim, diagonal)


def vicreg(c, dim):
    return mv.losses.VICReg(covariance=c / 4)


def reformulated(c, dim):
    return mv.losses.ReformulatedSSL(c / dim)


MEAN, ALL = barlow_twins("mean"), barlow_twins("all")
CELLS = [
    *(Cell("mean view", v, IMAGES, MEAN) for v in (2, 4, 8, 16)),
    *(Cell("all pairs", v, IMAGES, ALL) for v in (2, 4, 8, 16)),
    Cell("diagonal: mean view, rest: all pairs", 2, IMAGES, mixed("mean")),
    Cell("diagonal: all pairs, rest: mean view", 2, IMAGES, mixed("all")),
    *(
        Cell("mean view, fewer images a step", v, 2 * IMAGES // v, MEAN)
        for v in (4, 8, 16)
    ),
    *(Cell("VICReg", v, IMAGES, vicreg) for v in (2, 4)),
    *(Cell("reformulated", v, IMAGES, reformulated) for v in (2, 4)),
]


def summary(table):
    """Compute a row for each cell that is complete."""
    found, rows = table.rows().values(), []
    for cell in CELLS:
        mine = [row for row in found if row["cell"] == cell.name]
        pairs = collections.defaultdict(list)
        for row in mine:
            if row["purpose"] == "search":
                pairs[row["learning_rate"], row["c"]].append(row["accuracy"])
        if len(pairs) < TRIALS or any(
            len(x) < len(SEARCH_SEEDS) for x in pairs.values()
        ):
            continue
        best = best_of({pair: float(np.mean(x)) for pair, x in pairs.items()})
        reported = [
            row
            for row in mine
            if row["purpose"] == "report" and (row["learning_rate"], row["c"]) == best
        ]
        if {row["seed"] for row in reported} != {*REPORTED_SEEDS}:
            continue
        rows.append(
            {
                "loss": cell.label,
                "views": cell.views,
                "images_per_step": cell.images,
                "pairs_tried": len(pairs),
                "learning_rate": best[0],
                "c": best[1],
                "is_inside": all(pair in pairs for pair in neighbors(best)),
                "commits": sorted({row["commit"] for row in mine}),
                "probe": interval([row["accuracy"] for row in reported]),
                "probe_16_views": interval(
                    [row["accuracy_16_views"] for row in reported]
                ),
            }
        )
    return rows


def interval(values):
    """Return the mean of five seeds and the two ends of its 95 % interval."""
    mean = float(np.mean(values))
    half = T * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def draw(rows, title):
    """Draw the accuracy of each cell against its views."""
    figure, axis = tables.plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    for index, label in enumerate(dict.fromkeys(row["loss"] for row in rows)):
        group = [row for row in rows if row["loss"] == label]
        views = np.array([row["views"] for row in group]) * 1.03 ** (index - 3)
        low, mean, high = (
            100 * np.array([row["probe"][name] for row in group])
            for name in ("low", "mean", "high")
        )
        errors = mean - low, high - mean
        axis.errorbar(views, mean, errors, fmt="o-", ms=4, capsize=3, label=label)
    axis.set(xscale="log", xlabel="Views", ylabel="Linear probe, one view (%)")
    axis.set_xticks([2, 4, 8, 16], [2, 4, 8, 16])
    axis.minorticks_off()
    if rows:
        axis.legend(fontsize=8)
    axis.set_title(title)
    return figure


def write(table, path, part):
    """Write the complete cells to a JSON file and a picture, and return their rows.

    Processes of several shares write the same files, each by a temporary one.
    """
    rows, views_seen = summary(table), VIEWS_SEEN[DATASET.value]
    content = {
        "study": "formula",
        "data": DATASET.value,
        "views_seen": views_seen,
        "cells": rows,
        **training.provenance(),
        "command": tables.command(),
    }
    with tables.replace_file(path.with_name(f"{path.name}.json"), part) as unfinished:
        training.write_json(unfinished, content)
    figure = draw(rows, f"{DATASET.value}, {views_seen:,} views seen")
    with tables.replace_file(path.with_name(f"{path.name}.png"), part) as unfinished:
        figure.savefig(unfinished, dpi=110)
    tables.plt.close(figure)
    return rows


def main(argv):
    """Run a share of the cells, and write those that are complete."""
    if argv[1:]:
        raise app.UsageError(f"These are not flags: {argv[1:]}")
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", SHARE.value)
    part, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= part <= parts:
        raise app.UsageError(f"--share must be like 1/2. Received: {SHARE.value}")
    out, name = pathlib.Path(OUT.value).expanduser(), f"formula-{DATASET.value}"
    out.mkdir(parents=True, exist_ok=True)
    versions.refuse_other_file(out / f"{name}.json")
    table = Table(out / f"{name}-runs.csv")
    recipe, _ = sizes.settings_of(DATASET.value, "small")
    recipe = dataclasses.replace(
        recipe, data_dir=DATA_DIR.value, augment="device", epochs=1, warmup_epochs=0.1
    )
    rows = write(table, out / name, part)
    splits = mv.data.load(DATASET.value, DATA_DIR.value)
    trainer = Trainer(recipe, VIEWS_SEEN[DATASET.value], splits, table)
    for cell in CELLS[part - 1 :: parts]:
        trainer.report(cell, *trainer.search(cell))
        rows = write(table, out / name, part)
    for row in rows:
        probe = row["probe"]
        print(
            f"{row['loss']}, {row['views']} views: {probe['mean']:.1%} "
            f"({probe['low']:.1%} to {probe['high']:.1%}), rate "
            f"{row['learning_rate']:.3g}, c {row['c']:.3g}"
        )
    print(f"{len(rows)} of {len(CELLS)} cells; written to {out / name}.json and .png")


if __name__ == "__main__":
    app.run(main)
