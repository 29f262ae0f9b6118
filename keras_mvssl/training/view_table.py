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
    (β = O(1/D)). A setting that is no number is that of the nearest row, and β is
    interpolated among the rows of one pairing. Interpolated settings are printed.

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
    names = names_in(table) - set(keep)
    if recipe.loss != "barlow_twins":
        names -= {"beta", "pairing", "l2_normalize"}
    words = {name for name in names if _is_word(name, table)}
    if words:
        nearest = min(table, key=lambda v: abs(np.log(v / recipe.views)))
        row = table[nearest]
        chosen = {name: row.get(name, getattr(recipe, name)) for name in words}
        recipe = dataclasses.replace(recipe, **chosen)
    settings, is_known = {}, True
    for name in sorted(names - words):
        points = _points(name, recipe, table)
        if not points:
            is_known = False
            continue
        is_known = is_known and _is_in(name, recipe, table, points)
        default = getattr(recipe, name)
        value = _at(recipe.views, recipe.projector_dim, points)
        settings[name] = round(value) if isinstance(default, int) else value
    if names and not is_known:
        shown = ", ".join(f"{name}={value:.4g}" for name, value in settings.items())
        asked = f"views={recipe.views} with projector_dim={recipe.projector_dim}"
        if recipe.fraction < 1:
            asked += f" and fraction={recipe.fraction:g}"
        if _is_word("pairing", table):
            asked += f" and pairing={recipe.pairing or 'mean'}"
        print(
            f"No settings are known for {asked}. Interpolated from the nearest: "
            f"{shown or 'nothing'}"
        )
    return dataclasses.replace(recipe, **settings)


def names_in(table):
    """Return the names of the settings in a table."""
    rows = [entry for row in table.values() for entry in (row, *_shares(row))]
    return {name for row in rows for name in row} - {"fractions"}


def _shares(row):
    return row.get("fractions", {}).values()


def _is_word(name, table):
    values = (row.get(name) for row in table.values())
    return any(isinstance(value, (str, bool)) for value in values)


def _points(name, recipe, table):
    """Return what is known of a setting: `{views: value}`.

    β has another meaning for each pairing, and its rows are those of the recipe's. If
    there are rows with an entry for this share of the images, they are these.
    """
    default = getattr(recipe, name)
    points = {v: row.get(name, default) for v, row in table.items()}
    if name == "beta":
        mine = recipe.pairing or "mean"
        of_row = {v: row.get("pairing") or "mean" for v, row in table.items()}
        if _is_word("pairing", table):
            points = {v: value for v, value in points.items() if of_row[v] == mine}
    of_share = {v: _of_share(table[v], recipe.fraction).get(name) for v in points}
    if any(value is not None for value in of_share.values()):
        points = of_share
    return {v: value for v, value in points.items() if value is not None}


def _of_share(row, fraction):
    return row.get("fractions", {}).get(fraction, {})


def _is_in(name, recipe, table, points):
    """Whether a setting stands in the table, for just these views, images, features."""
    value = points.get(recipe.views)
    is_table = isinstance(value, Mapping)
    if value is None or (is_table and recipe.projector_dim not in value):
        return False
    entries = [entry for row in table.values() for entry in _shares(row)]
    if recipe.fraction == 1 or not any(name in entry for entry in entries):
        return True
    return name in _of_share(table[recipe.views], recipe.fraction)


def _at(views, dim, points):
    """Return a setting at a number of views and a size of the projector."""
    values = {}
    for v, value in points.items():
        if isinstance(value, Mapping):
            scaled = {d: beta * d for d, beta in value.items()}
            value = value.get(dim) or _interpolate(scaled, dim) / dim
        values[v] = value
    return values.get(views) or _interpolate(values, views)


def _interpolate(points, x):
    """Return the value at x on lines between points on logarithmic axes."""
    known = sorted(points)
    logs = np.log([points[k] for k in known])
    return float(np.exp(np.interp(np.log(x), np.log(known), logs)))
