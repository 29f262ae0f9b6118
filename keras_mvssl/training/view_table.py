"""Settings that go with a number of views and a size of the projector."""

import dataclasses
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mvssl.training.recipe import Recipe


def tuned(
    recipe: Recipe, table: Mapping[int, Mapping[str, Any]], keep: Iterable[str] = ()
) -> Recipe:
    """Return a recipe with the settings that are known to go with its views.

    For a number of views between those of the table, and for a projector between those
    of its β, settings are interpolated geometrically. Beyond the table they are those
    of the nearest row, and β is that of the nearest projector times the ratio of sizes
    (β = O(1/D)). Interpolated settings are printed. A setting that is no number is that
    of the nearest row.

    Args:
        recipe: A `Recipe`.
        table: `{views: {name: value}}`, numbers positive. The one of `beta` may be
            `{projector_dim: value}`; it, `pairing` and `l2_normalize` are for Barlow
            Twins. A row may have an entry `fractions`, `{fraction: {name: value}}`, of
            settings that go with this share of the images.
        keep: Names of settings to leave as they are.

    Returns:
        A `Recipe`.

    Example:
    ```python
    table = {2: {"beta": {256: 0.02}}, 8: {"beta": {256: 0.01}, "batch_size": 128}}
    recipe = keras_mvssl.training.Recipe(dataset="cifar10", views=8)
    recipe = keras_mvssl.training.tuned(recipe, table)
    ```
    """
    dim, views = recipe.projector_dim, recipe.views
    table = {v: _row_for(row, recipe.fraction) for v, row in table.items()}
    names = names_in(table) - set(keep)
    if recipe.loss != "barlow_twins":
        names -= {"beta", "pairing", "l2_normalize"}
    settings, exact = {}, views in table
    for name in sorted(names):
        default = getattr(recipe, name)
        points = {v: row.get(name, default) for v, row in table.items()}
        if any(isinstance(value, (str, bool)) for value in points.values()):
            settings[name] = points[min(points, key=lambda v: abs(np.log(v / views)))]
            continue
        points = {v: value for v, value in points.items() if value is not None}
        for v, value in points.items():
            if isinstance(value, dict):
                exact = exact and (v != views or dim in value)
                scaled = {d: beta * d for d, beta in value.items()}
                points[v] = value.get(dim) or _interpolate(scaled, dim) / dim
        value = points.get(views) or _interpolate(points, views)
        settings[name] = round(value) if isinstance(default, int) else value
    if settings and not exact:
        shown = ", ".join(
            f"{name}={value:.4g}"
            for name, value in settings.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        )
        print(
            f"No settings are known for views={views} with projector_dim={dim}. "
            f"Interpolated from the nearest: {shown}"
        )
    return dataclasses.replace(recipe, **settings)


def names_in(table):
    """Return the names of the settings in a table."""
    return {name for row in table.values() for name in row} - {"fractions"}


def _row_for(row, fraction):
    """Return a row of the table with the settings of a share of the images."""
    row = dict(row)
    return {**row, **row.pop("fractions", {}).get(fraction, {})}


def _interpolate(points, x):
    """Return the value at x on lines between points on logarithmic axes."""
    known = sorted(points)
    logs = np.log([points[k] for k in known])
    return float(np.exp(np.interp(np.log(x), np.log(known), logs)))
