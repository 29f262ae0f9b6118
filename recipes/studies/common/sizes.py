"""Recipes at their own size, and at one for two CPU cores and minutes."""

import dataclasses
import pathlib
import runpy

from absl import app

RECIPES = pathlib.Path(__file__).parents[1]
# What changes in a recipe for the small size, for two CPU cores and minutes.
SMALL = {
    "shapes": dict(augment="device", projector_dim=128, epochs=2),
    "cifar10": dict(
        backbone="tiny", projector_dim=128, epochs=1, warmup_epochs=0.1, probe_every=1
    ),
}
# Settings that go with views there, where they are not those of the recipe: what
# `search.py` found on seed 100 (`recipes/results/search-*.json`).
SMALL_VIEWS = {
    "shapes": {
        2: dict(learning_rate=16e-3, beta={128: 4 / 128}),
        4: dict(learning_rate=32e-3, beta={128: 4 / 128}),
        8: dict(learning_rate=32e-3, beta={128: 4 / 128}),
    },
    "cifar10": {
        2: dict(learning_rate=4e-3, beta={128: 16 / 128}),
        4: dict(learning_rate=8e-3, beta={128: 16 / 128}),
        8: dict(learning_rate=16e-3, beta={128: 16 / 128}),
    },
}


def settings_of(dataset, size):
    """The recipe of a data set, and its table from views to settings."""
    found = runpy.run_path(str(RECIPES / f"{dataset}.py"))
    recipe, table = found["RECIPE"], found["VIEWS"]
    if size == "paper":
        return recipe, table
    if dataset not in SMALL:
        raise app.UsageError(f"--dataset={dataset} needs --size=paper.")
    recipe = dataclasses.replace(recipe, **SMALL[dataset])
    return recipe, SMALL_VIEWS.get(dataset, table)
