"""Choice of views, images and projector for the time that there is.

    python recipes/studies/plan.py --minutes=30 --dataset=cifar10

The script measures over a few steps how many views a second this machine trains on. It
looks up in the recorded results (the CSV files of the studies in `--out`) which setting
has the best accuracy after the number of views that fit into the time. It prints a
command, and the results that the choice rests on. For a time longer than the recorded
runs it can only say which setting was ahead at their end. The recorded accuracies are
those of test images: good for a plan, not for a claim.
"""

import csv
import dataclasses
import math
import pathlib
import shlex
import sys
import time

import keras
import numpy as np
from absl import app
from absl import flags
from common import finished
from common import grid
from common import sizes

import keras_mvssl as mv

MINUTES = flags.DEFINE_float(
    "minutes",
    30.0,
    "Minutes of training, without probes.",
    lower_bound=0.1,
    module_name=sys.argv[0],
)
# Steps of training that are timed.
TIMED_STEPS = 5
# Up to this multiple of the views of its recorded runs, a setting counts as recorded.
LONGEST_EXTENSION = 1.1


def recorded(out, title):
    """Read the results of all studies in a folder.

    Args:
        out: Folder of results.
        title: Names of the data set and of the size, `dataset-size`.

    Returns:
        `{setting: (files, seeds, views seen, mean accuracies)}`.
    """
    runs = {}
    for path in sorted(out.glob(f"*-{title}.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                setting = tuple(float(row[name]) for name in finished.SETTING_NAMES)
                files, curves = runs.setdefault(setting, (set(), {}))
                files.add(path.name)
                seen = curves.setdefault(int(row["views_seen"]), {})
                seen[row["seed"]] = float(row["accuracy"])
    return {
        setting: (
            sorted(files),
            len(curves[max(curves)]),
            sorted(curves),
            [float(np.mean(list(curves[seen].values()))) for seen in sorted(curves)],
        )
        for setting, (files, curves) in runs.items()
    }


def views_per_second(recipe, splits):
    """Measure how many views one second of training takes, after compilation."""
    keras.utils.clear_session()
    parts = mv.training.build(recipe, splits)
    stream = parts.make_stream(0)
    parts.model.fit(stream, steps_per_epoch=TIMED_STEPS, verbose=0)
    start = time.perf_counter()
    parts.model.fit(stream, steps_per_epoch=TIMED_STEPS, verbose=0)
    seconds = time.perf_counter() - start
    return TIMED_STEPS * recipe.batch_size * recipe.views / seconds


def choose(known, rates, seconds):
    """Rank settings by their accuracy when the time is over, the best first.

    Args:
        known: The results that `recorded` returned.
        rates: `{(views, projector_dim): views per second}`.
        seconds: The time that there is.

    Returns:
        `[(accuracy, setting, views that fit)]`.
    """
    ranked = []
    for setting, (_, _, seen, accuracy) in known.items():
        fit = rates[setting[0], setting[2]] * seconds
        ranked.append((float(np.interp(fit, seen, accuracy)), setting, fit))
    return sorted(ranked, reverse=True)


def command(dataset, recipe, setting, images, fit):
    """Return the command of a recipe that sees about `fit` views.

    Args:
        dataset: Name of the recipe.
        recipe: `Recipe` whose other settings the command names.
        setting: Values of `finished.SETTING_NAMES`.
        images: Number of images to pretrain on.
        fit: Number of views.
    """
    views, fraction, dim, beta = setting
    steps = int(fraction * images) // recipe.batch_size
    epochs = fit / (recipe.batch_size * steps * views)
    whole = max(grid.MIN_EPOCHS, math.floor(epochs))
    length = f"--epochs={whole}"
    if epochs < grid.MIN_EPOCHS:
        steps = max(1, int(epochs * steps / grid.MIN_EPOCHS))
        length += f" --steps_per_epoch={steps}"
    if recipe.data_dir:
        length = f"--data_dir={shlex.quote(str(recipe.data_dir))} {length}"
    warmup = recipe.warmup_epochs / recipe.epochs * whole
    return (
        f"python recipes/{dataset}.py --views={views:.0f} --fraction={fraction:g} "
        f"--projector_dim={dim:.0f} --beta={beta:.4g} --batch_size={recipe.batch_size} "
        f"--learning_rate={recipe.learning_rate:g} --backbone={recipe.backbone} "
        f"--augment={recipe.augment} --warmup_epochs={warmup:.3g} "
        f"--probe_every={max(1, whole // 10)} {length}"
    )


def main(argv):
    """Measure this machine, rank the recorded settings and print a command."""
    if argv[1:]:
        raise app.UsageError(f"These are not flags: {argv[1:]}")
    dataset, size, out = grid.DATASET.value, grid.SIZE.value, grid.OUT.value
    known = recorded(pathlib.Path(out).expanduser(), f"{dataset}-{size}")
    if not known:
        raise app.UsageError(
            f"There are no results of studies on {dataset}, size {size}, in {out}: run "
            f"python recipes/studies/views.py --dataset={dataset} --size={size} first."
        )
    recipe, table = sizes.settings_of(dataset, size)
    recipe = dataclasses.replace(recipe, data_dir=grid.DATA_DIR.value)
    splits = mv.data.load(dataset, recipe.data_dir, image_size=recipe.image_size)
    runs = grid.Runs(f"{dataset}-{size}", recipe, table, None, [0], splits)
    rates = {}
    for views, dim in sorted({(views, dim) for views, _, dim, _ in known}):
        chosen = runs.recipe_for(dict(views=int(views), projector_dim=int(dim)), 0)
        rate = rates[views, dim] = views_per_second(chosen, splits)
        print(
            f"{views:.0f} views, projector {dim:.0f}: {rate:,.0f} views/s on this "
            "machine",
            flush=True,
        )
    ranked = choose(known, rates, 60 * MINUTES.value)
    print(f"\nAfter {MINUTES.value:g} minutes, by the recorded results:")
    for accuracy, setting, fit in ranked[:5]:
        views, fraction, dim, beta = setting
        files, seeds, seen, _ = known[setting]
        beyond = (
            f", recorded up to {seen[-1]:,}"
            if fit > LONGEST_EXTENSION * seen[-1]
            else ""
        )
        print(
            f"  {accuracy:.1%}: {views:.0f} views, {fraction:.1%} of the images, "
            f"projector {dim:.0f}, β {beta:.2g}; {fit:,.0f} views fit{beyond}; "
            f"{seeds} seeds in {', '.join(files)}"
        )
    _, setting, fit = ranked[0]
    if fit > LONGEST_EXTENSION * known[setting][2][-1]:
        print(
            "The time is longer than the recorded runs: the order is not known there."
        )
    chosen = runs.recipe_for(dict(views=int(setting[0])), 0)
    print(f"\n{command(dataset, chosen, setting, runs.images, fit)}")


if __name__ == "__main__":
    app.run(main)
