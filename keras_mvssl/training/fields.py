"""Typed fields of a dataclass of settings: their choices, bounds and explanations."""

import dataclasses
import os
import types
import typing
from typing import Any
from typing import Literal

import numpy as np

# Groups of flags, in the order in which `--help` lists them.
GROUPS = ("data", "views", "model", "loss", "optimisation", "watching", "where")

_NAMES = {int: "an int", float: "a number", bool: "a bool", str: "a str"}


def setting(
    help,
    default=dataclasses.MISSING,
    group=None,
    least=None,
    above=None,
    most=None,
    infinite=False,
):
    """Make a dataclass field for a setting, with its explanation, flag and bounds.

    Args:
        help: Explanation of the setting.
        default: Default of the setting; without a default it must be given.
        group: Group of the flag, in `GROUPS`; None for a setting without a flag.
        least: Smallest allowed number.
        above: Bound that a number must exceed.
        most: Largest allowed number.
        infinite: Whether a bounded number may be infinite.
    """
    metadata = {"help": help, "group": group, "least": least, "above": above}
    metadata |= {"most": most, "infinite": infinite}
    return dataclasses.field(default=default, metadata=metadata)


def kinds_of(field: dataclasses.Field) -> tuple[list[Any], list[str]]:
    """Return the types of a field, without None and literals, and its choices."""
    hint = field.type
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    parts = typing.get_args(hint) if is_union else (hint,)
    kinds = [part for part in parts if part is not type(None)]
    choices: list[str] = []
    for kind in kinds:
        if typing.get_origin(kind) is Literal:
            choices += typing.get_args(kind)
    return [kind for kind in kinds if typing.get_origin(kind) is not Literal], choices


def plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python, and a path as a str.

    Settings from NumPy, e.g. of a search, compare and become JSON like all others.
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic) or (
        isinstance(value, np.ndarray) and value.ndim == 0
    ):
        if value.dtype.kind == "f":  # Python knows no float of more than 64 bits.
            return float(value)
        return value.item()
    return value


def check_field(field, value):
    """Raise ValueError for a value outside the types, choices or bounds of a field."""
    kinds, choices = kinds_of(field)
    if value is None and type(None) in typing.get_args(field.type):
        return
    if isinstance(value, str) and value in choices:
        return
    if choices and not kinds:
        raise ValueError(
            f"`{field.name}` must be one of {choices}. Received: {field.name}={value!r}"
        )
    kind = kinds[-1]
    if isinstance(value, tuple(kinds[:-1])):
        return
    least, above = field.metadata["least"], field.metadata["above"]
    bound = "" if least is None else f" of at least {least}"
    if above is not None:
        bound = f" above {above}"
    most = field.metadata["most"]
    if most is not None:
        bound += f" and at most {most}"
    fits = isinstance(value, (int, float) if kind is float else kind)
    fits = fits and (kind is bool or not isinstance(value, bool))
    if fits and least is not None:
        fits = value >= least
    if fits and above is not None:
        fits = value > above
    if fits and most is not None:
        fits = value <= most
    if not fits:
        name = " or ".join(_NAMES.get(x, f"of type {x.__name__}") for x in kinds)
        others = f" or one of {choices}" if choices else ""
        raise ValueError(
            f"`{field.name}` must be {name}{bound}{others}. "
            f"Received: {field.name}={value!r}"
        )
    if value == float("inf") and not field.metadata["infinite"]:
        raise ValueError(
            f"`{field.name}` must be finite. Received: {field.name}={value!r}"
        )


def describe_fields(cls):
    """Add the explanations of all fields to the docstring of a class."""
    if "\n\n" not in (cls.__doc__ or ""):  # `python -OO` strips docstrings.
        return
    lines = ["    Attributes:"]
    for field in dataclasses.fields(cls):
        lines.append(f"        {field.name}: {field.metadata['help']}")
    summary, example = cls.__doc__.rsplit("\n\n", 1)
    cls.__doc__ = "\n\n".join([summary, "\n".join(lines), example])
