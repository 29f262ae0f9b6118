"""The command line of a recipe: a flag for each of its settings."""

import dataclasses
import datetime
import pathlib
import sys
import textwrap
import typing
from collections.abc import Mapping
from typing import Any

from absl import app
from absl import flags

from keras_mvssl.training.fields import GROUPS
from keras_mvssl.training.fields import kinds_of
from keras_mvssl.training.recipe import Recipe
from keras_mvssl.training.resume import Resume
from keras_mvssl.training.run import run
from keras_mvssl.training.view_table import tuned


def main(recipe: Recipe, table: Mapping[int, Mapping[str, Any]] | None = None) -> None:
    """Run a recipe from the command line, with flags for its settings.

    Args:
        recipe: A `Recipe`, whose values are the defaults.
        table: Settings that go with numbers of views, for `tuned`. Those given on the
            command line win over them.

    Example:
    ```python
    RECIPE = keras_mvssl.training.Recipe(dataset="shapes", backbone="tiny")
    if __name__ == "__main__":
        keras_mvssl.training.main(RECIPE)
    ```
    """
    groups = define_flags(recipe)
    groups["where"] = ["workdir", "resume", *groups["where"]]
    names = [name for group in groups.values() for name in group]

    def start(argv):
        if argv[1:]:
            raise app.UsageError(f"These are not flags: {argv[1:]}")
        values = {name: flags.FLAGS[name].value for name in names}
        workdir, resume = values.pop("workdir"), values.pop("resume")
        given = {name: value for name, value in values.items() if value is not None}
        new = dataclasses.replace(recipe, **given)
        new.check()
        new = tuned(new, table or {}, keep=given)
        run(new, workdir or _new_workdir(), resume)

    def parse(argv):
        if {"--help", "-help", "-h"} & set(argv[1:]):
            print(help_text(sys.modules["__main__"].__doc__ or "", groups))
            sys.exit(0)
        return app.parse_flags_with_usage(argv)

    app.run(start, flags_parser=parse)


def define_flags(recipe):
    """Define the flags of a recipe, `workdir` and `resume`.

    Flags of settings default to None, so that those given can be told from the others.

    Returns:
        Names of the flags of settings, `{group: names}`.
    """
    # Flags of the script, so that --help shows them.
    own = {"module_name": sys.argv[0]}
    groups: dict[str, list[str]] = {name: [] for name in GROUPS}
    for field in dataclasses.fields(recipe):
        group = field.metadata["group"]
        if group is None:
            continue
        value = getattr(recipe, field.name)
        help = f"{field.metadata['help']} Here: {value}."
        flags.DEFINE(_parser(field), field.name, None, help, **own)
        groups[group].append(field.name)
    flags.DEFINE_string(
        "workdir",
        None,
        "Folder for the run: new, empty, or of a run to continue. A new one below "
        "runs/ if not given.",
        **own,
    )
    flags.DEFINE_enum(
        "resume",
        "auto",
        list(typing.get_args(Resume)),
        "Whether to go on with the run in --workdir: if there is one, never (it must "
        "be new or empty), or must.",
        **own,
    )
    return groups


def help_text(title, groups):
    """Describe flags by group, for `--help`."""
    lines = [title.strip()]
    for group, names in groups.items():
        lines += ["", f"{group}:"]
        for name in names:
            flag = flags.FLAGS[name]
            values = getattr(flag.parser, "enum_values", None)
            kind = "|".join(values) if values else flag.flag_type()
            lines.append(f"  --{name}=<{kind}>")
            lines.append(textwrap.indent(textwrap.fill(flag.help, 74), 6 * " "))
    return "\n".join(lines)


def _parser(field):
    kinds, choices = kinds_of(field)
    if choices and kinds:
        return _FloatOrAuto()
    if choices:
        return flags.EnumParser(choices)
    parsers = {int: flags.IntegerParser, float: flags.FloatParser}
    return parsers.get(kinds[0], flags.ArgumentParser)()


class _FloatOrAuto(flags.ArgumentParser):
    def parse(self, argument):
        return argument if argument == "auto" else float(argument)

    def flag_type(self):
        return "float or 'auto'"


def _new_workdir():
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return f"runs/{pathlib.Path(sys.argv[0]).stem}-{stamp}"
