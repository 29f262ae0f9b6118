"""The settings of a dataclass as flags of the command line."""

import dataclasses
import sys

from absl import flags


def define_flags(settings, leave_out=(), choices=None):
    """Defines a flag for each field of a dataclass, explained by its docstring.

    Flags default to None, so that those given can be told from those not given.

    Args:
        settings: An instance of the dataclass; its values are quoted as defaults.
        leave_out: Names of fields that get no flag.
        choices: Allowed values of fields, `{name: values}`.

    Returns:
        The names of the flags.
    """
    define = {"int": flags.DEFINE_integer, "float": flags.DEFINE_float}
    # Flags of the script, so that --help shows them.
    shared = {"default": None, "module_name": sys.argv[0]}
    names = []
    for field in dataclasses.fields(settings):
        if field.name in leave_out:
            continue
        value = getattr(settings, field.name)
        shared["help"] = f"{_explanation(settings, field.name)} Here: {value}."
        kinds = [
            kind.__name__ for kind in getattr(field.type, "__args__", [field.type])
        ]
        if field.name in (choices or {}):
            values = list(choices[field.name])
            flags.DEFINE_enum(field.name, enum_values=values, **shared)
        elif kinds[:2] == ["float", "str"]:
            flags.DEFINE(_FloatOrAuto(), field.name, **shared)
        else:
            define.get(kinds[0], flags.DEFINE_string)(field.name, **shared)
        names.append(field.name)
    return names


class _FloatOrAuto(flags.ArgumentParser):
    def parse(self, argument):
        return argument if argument == "auto" else float(argument)

    def flag_type(self):
        return "float or 'auto'"


def _explanation(settings, name):
    """What the docstring of the dataclass says of a field."""
    lines = type(settings).__doc__.splitlines()
    start = next(i for i, x in enumerate(lines) if x.strip().startswith(f"{name}: "))
    text = lines[start].split(": ", 1)[1]
    for line in lines[start + 1 :]:
        if not line.startswith(" " * 12):
            break
        text += " " + line.strip()
    return text
