"""What to run in the time there is: views, images, batch and projector.

    python recipes/studies/plan.py --minutes=30 --dataset=cifar10

Measures how many views a second this machine trains on, over a few steps, and looks up
in the recorded results (the CSV files of the studies in `--out`) which setting has the
best accuracy after as many views as fit. Prints a command, and the rows that it rests
on. Beyond the recorded runs it can only say which was ahead at their end. The recorded
accuracies are those of test images: good for a plan, not for a claim.
"""

import csv
import dataclasses
import math
import pathlib
import shlex
import sys
import time

import grid
import keras
import numpy as np
import sizes
from absl import app
from absl import flags

import keras_mvssl as mv
from keras_mvssl.training import build as parts

MINUTES = flags.DEFINE_float(
    "minutes",
    30.0,
    "Minutes of training, without probes.",
    lower_bound=0.1,
    module_name=sys.argv[0],
)
STEPS = 5


def recorded(out, title):
    """Results of all studies in a folder.

    Returns:
        `{setting: (files, seeds, views seen, mean accuracies)}`.
    """
    runs = {}
    for path in sorted(out.glob(f"*-{title}.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                setting = tuple(float(row[name]) for name in grid.SETTING)
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
    """Views that one second of training takes, after compilation."""
    keras.utils.clear_session()
    augmentation = recipe.augmentation_for(splits.image_shape)
    model = parts.build_model(recipe, augmentation, splits.image_shape)
    stream = parts.make_stream(recipe, augmentation, splits.pretrain)
    parts.compile_model(model, recipe, 10 * STEPS)
    model.fit(stream, steps_per_epoch=STEPS, verbose=0)
    start = time.perf_counter()
    model.fit(stream, steps_per_epoch=STEPS, verbose=0)
    seconds = time.perf_counter() - start
    return STEPS * recipe.batch_size * recipe.views / seconds


def choose(known, rates, seconds):
    """Settings by their accuracy when the time is over, the best first.

    Args:
        known: What `recorded` found.
        rates: `{(views, projector_dim): views per second}`.
        seconds: The time there is.

    Returns:
        `[(accuracy, setting, views that fit)]`.
    """
    ranked = []
    for setting, (_, _, seen, accuracy) in known.items():
        fit = rates[setting[0], setting[2]] * seconds
        ranked.append((float(np.interp(fit, seen, accuracy)), setting, fit))
    return sorted(ranked, reverse=True)


def command(dataset, recipe, setting, images, fit):
    """The command of a recipe that sees about `fit` views."""
    views, fraction, dim, beta = setting
    steps = int(fraction * images) // recipe.batch_size
    epochs = fit / (recipe.batch_size * steps * views)
    whole = max(4, math.floor(epochs))  # Fewer are too few for a curve.
    length = f"--epochs={whole}"
    if epochs < 4:
        length += f" --steps_per_epoch={max(1, int(epochs * steps / 4))}"
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
        beyond = f", recorded up to {seen[-1]:,}" if fit > 1.1 * seen[-1] else ""
        print(
            f"  {accuracy:.1%}: {views:.0f} views, {fraction:.1%} of the images, "
            f"projector {dim:.0f}, β {beta:.2g}; {fit:,.0f} views fit{beyond}; "
            f"{seeds} seeds in {', '.join(files)}"
        )
    _, setting, fit = ranked[0]
    if fit > 1.1 * known[setting][2][-1]:
        print(
            "The time is longer than that of the recorded runs: order not known there."
        )
    chosen = runs.recipe_for(dict(views=int(setting[0])), 0)
    print(f"\n{command(dataset, chosen, setting, runs.images, fit)}")


if __name__ == "__main__":
    app.run(main)
