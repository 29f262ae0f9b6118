"""Recipes at full size, and at a small size for minutes on two CPU cores."""

import dataclasses
import pathlib
import runpy

from absl import app

RECIPES = pathlib.Path(__file__).parents[2]
# Settings of the small size that differ from those of the recipe.
SMALL_SETTINGS = {
    "shapes": dict(augment="device", projector_dim=128, epochs=2),
    "cifar10": dict(
        backbone="tiny", projector_dim=128, epochs=1, warmup_epochs=0.1, probe_every=1
    ),
}
# Settings of the small size by number of views: those that `search.py` found on seed
# 100 (`recipes/results/search-*.json`), with 2 views for all pairs.
SMALL_VIEW_TABLE = {
    "shapes": {
        2: dict(pairing="all", learning_rate=16e-3, beta={128: 4 / 128}),
        4: dict(learning_rate=32e-3, beta={128: 4 / 128}),
        8: dict(learning_rate=32e-3, beta={128: 4 / 128}),
    },
    "cifar10": {
        2: dict(pairing="all", learning_rate=4e-3, beta={128: 16 / 128}),
        4: dict(learning_rate=8e-3, beta={128: 16 / 128}),
        8: dict(learning_rate=16e-3, beta={128: 16 / 128}),
    },
}


def settings_of(dataset, size):
    """Return the recipe of a data set, and its table from views to settings.

    Args:
        dataset: Name of the recipe.
        size: `"paper"` for the recipe as it is, or `"small"`.
    """
    found = runpy.run_path(str(RECIPES / f"{dataset}.py"))
    recipe, table = found["RECIPE"], found["VIEWS"]
    if size == "paper":
        return recipe, table
    if dataset not in SMALL_SETTINGS:
        raise app.UsageError(f"--dataset={dataset} needs --size=paper.")
    recipe = dataclasses.replace(recipe, **SMALL_SETTINGS[dataset])
    return recipe, SMALL_VIEW_TABLE.get(dataset, table)
