"""Typed fields of a dataclass of settings: their choices, bounds and explanations."""

import dataclasses
import numbers
import types
import typing
from typing import Any
from typing import Literal

# Groups of flags, in the order in which `--help` lists them.
GROUPS = ("data", "views", "model", "loss", "optimisation", "watching", "where")


def setting(
    help,
    default=dataclasses.MISSING,
    group=None,
    least=None,
    above=None,
    infinite=False,
):
    """Make a dataclass field for a setting, with its explanation, flag and bounds.

    Args:
        help: Explanation of the setting.
        default: Default of the setting; without a default it must be given.
        group: Group of the flag, in `GROUPS`; None for a setting without a flag.
        least: Smallest allowed number.
        above: Bound that a number must exceed.
        infinite: Whether a bounded number may be infinite.
    """
    metadata = {"help": help, "group": group, "least": least, "above": above}
    metadata["infinite"] = infinite
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


def check_field(field, value):
    """Raise ValueError for a value outside the choices or bounds of a field."""
    kinds, choices = kinds_of(field)
    if value is None and type(None) in typing.get_args(field.type):
        return
    if choices and not kinds and value not in choices:
        raise ValueError(
            f"`{field.name}` must be one of {choices}. Received: {field.name}={value!r}"
        )
    least, above = field.metadata["least"], field.metadata["above"]
    if least is None and above is None:
        return
    bound = f"at least {least}" if above is None else f"above {above}"
    is_whole = kinds == [int]
    kind = "an int of" if is_whole else "a number of" if above is None else "a number"
    fits = isinstance(value, int if is_whole else numbers.Real)
    fits = fits and (value >= least if above is None else value > above)
    if not fits:
        raise ValueError(
            f"`{field.name}` must be {kind} {bound}. Received: {field.name}={value!r}"
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
    summary, example = cls.__doc__.split("\n\n", 1)
    cls.__doc__ = "\n\n".join([summary, "\n".join(lines), example])
