"""The command line of a recipe: a flag for each of its settings."""

import dataclasses
import datetime
import pathlib
import re
import sys
import textwrap
import traceback
import typing
from collections.abc import Mapping
from typing import Any

from absl import app
from absl import flags

from keras_mvssl import _backend
from keras_mvssl.training.augmentation_text import changed
from keras_mvssl.training.fields import GROUPS
from keras_mvssl.training.fields import kinds_of
from keras_mvssl.training.recipe import Recipe
from keras_mvssl.training.resume import Resume
from keras_mvssl.training.run import run
from keras_mvssl.training.stopping import stop_outside_of_training
from keras_mvssl.training.view_table import names_in
from keras_mvssl.training.view_table import tuned
from keras_mvssl.views import Augmentation

# Spellings of a request for help; `--helpfull` is left to absl.
HELP_FLAG = re.compile(r"--?(help|helpshort|h|\?)(=true)?")


ViewTable = Mapping[int, Mapping[str, Any]]


@stop_outside_of_training(ends_process=True)
def main(
    recipe: Recipe,
    table: ViewTable | None = None,
    authors: tuple[Recipe, ViewTable] | None = None,
) -> None:
    """Run a recipe from the command line, with flags for its settings.

    On JAX, compiled steps are kept below `XDG_CACHE_HOME` or `~/.cache`, in
    `keras_mvssl/jax`, so that the next start takes less time. JAX's own settings win:
    `JAX_COMPILATION_CACHE_DIR` names another folder, and
    `JAX_ENABLE_COMPILATION_CACHE=false` switches this off.

    At SIGTERM, SIGINT (Ctrl-C) or SIGHUP, what is trained is saved, and the script ends
    with code 75: the same command goes on. The recipes of this package begin with four
    lines that do the same while libraries are imported.

    Args:
        recipe: A `Recipe`, whose values are the defaults.
        table: Settings that go with numbers of views, for `tuned`. Those given on the
            command line win over them.
        authors: Optional recipe and table of the paper's authors, for Barlow Twins,
            which the flag `--settings=authors` chooses.

    Example:
    ```python
    RECIPE = keras_mvssl.training.Recipe(dataset="shapes", backbone="tiny")
    if __name__ == "__main__":
        keras_mvssl.training.main(RECIPE)
    ```
    """
    choices = {"ours": (recipe, table or {})}
    groups = define_flags(recipe, names_in(table or {}))
    if authors is not None:
        choices["authors"] = authors
        groups["optimisation"].insert(0, "settings")
        flags.DEFINE_enum(
            "settings",
            "ours",
            list(choices),
            "Defaults of this recipe, or the authors', for Barlow Twins. "
            "Default: ours.",
            module_name=sys.argv[0],
        )
    groups["where"] = ["workdir", "resume", *groups["where"]]
    names = [name for group in groups.values() for name in group]

    def start(argv):
        values = {name: flags.FLAGS[name].value for name in names}
        workdir, resume = values.pop("workdir"), values.pop("resume")
        settings = values.pop("settings", "ours")
        given = {name: value for name, value in values.items() if value is not None}
        try:
            if argv[1:]:
                raise ValueError(f"These are not flags: {argv[1:]}")
            chosen = choose(choices, settings, given)
        except ValueError as error:
            if values["verbose"]:
                traceback.print_exc()
            end_with_usage_error(error)
        start_run(chosen, workdir or new_workdir(sys.argv[0]), resume)

    def parse(argv):
        if any(HELP_FLAG.fullmatch(argument) for argument in argv[1:]):
            print(help_text(sys.modules["__main__"].__doc__ or "", groups))
            sys.exit(0)
        return parse_flags(argv)

    app.run(start, flags_parser=parse)


def choose(
    choices: Mapping[str, tuple[Recipe, ViewTable]],
    settings: str,
    given: Mapping[str, Any],
) -> Recipe:
    """Return a recipe with the settings that are given, and with those of its views.

    Args:
        choices: Recipes and their tables by the values of `--settings`.
        settings: The value of `--settings`.
        given: Settings of the command line, which win.

    Raises:
        ValueError: For settings that `Recipe.check` refuses, and for the authors' with
            another loss.
    """
    base, table = choices[settings]
    given = dict(given)
    if "augmentation" in given and isinstance(base.augmentation, Augmentation):
        given["augmentation"] = changed(base.augmentation, given["augmentation"])
    new = dataclasses.replace(base, **given)
    if settings == "authors" and new.loss != base.loss:
        raise ValueError(
            "--settings=authors is for Barlow Twins; the weights of their other "
            f"losses are not offered. Received: --loss={new.loss}"
        )
    new.check()
    return tuned(new, table, keep=given)


def start_run(recipe: Recipe, workdir: str, resume: Resume) -> None:
    """Run a recipe, and keep what JAX compiles for the next start."""
    kept_in = _backend.keep_compiled()
    if kept_in:
        print(f"JAX keeps what it compiles in {kept_in}, for the next start.")
    run(recipe, workdir, resume)


def parse_flags(argv):
    """Parse the flags of absl; a mistake is told in one line, with exit code 2."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        end_with_usage_error(error)


def end_with_usage_error(error):
    """Exit with code 2, and with a mistake of the command line in one line."""
    script, text = pathlib.Path(sys.argv[0]).name, " ".join(str(error).split())
    print(f"{script}: {text}", file=sys.stderr)
    sys.exit(2)


def define_flags(recipe, tuned_names=()):
    """Define the flags of a recipe, `workdir` and `resume`.

    Flags of settings default to None, so that those given can be told from the others.

    Args:
        recipe: A `Recipe`, whose values are quoted as defaults.
        tuned_names: Names of settings that depend on the number of views.

    Returns:
        Names of the flags of settings, `{group: names}`.
    """
    own = {"module_name": sys.argv[0]}  # absl lists the flags of the script
    groups: dict[str, list[str]] = {name: [] for name in GROUPS}
    for field in dataclasses.fields(recipe):
        group = field.metadata["group"]
        if group is None:
            continue
        default = getattr(recipe, field.name)
        if field.name == "augmentation":
            default = "that of the recipe"
        if field.name in tuned_names:
            default = "goes with the views, in the table of the recipe"
        help = f"{field.metadata['help']} Default: {default}."
        _define(field, help, own)
        groups[group].append(field.name)
    flags.DEFINE_string(
        "workdir",
        None,
        "Folder for the run: new, empty, or of a run to continue. Default: a new "
        "folder below runs/.",
        **own,
    )
    flags.DEFINE_enum(
        "resume",
        "auto",
        list(typing.get_args(Resume)),
        "`auto` continues the run in --workdir if there is one, `never` requires a new "
        "or empty folder, `must` requires a run to continue. Default: auto.",
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
            explanation = re.sub(r"^<[^>]*>: ", "", flag.help)  # absl adds the values
            lines.append(f"  --{name}=<{kind}>")
            lines.append(textwrap.indent(textwrap.fill(explanation, 74), 6 * " "))
    lines += ["", "--helpfull lists the flags of absl too, such as --flagfile."]
    return "\n".join(lines)


def _define(field, help, own):
    kinds, choices = kinds_of(field)
    if choices and kinds:
        parser, serializer = _FloatOrAuto(), flags.ArgumentSerializer()
        flags.DEFINE(parser, field.name, None, help, serializer=serializer, **own)
    elif choices:
        flags.DEFINE_enum(field.name, None, choices, help, **own)
    else:
        define = {int: flags.DEFINE_integer, float: flags.DEFINE_float}
        define[bool] = flags.DEFINE_bool
        define.get(kinds[0], flags.DEFINE_string)(field.name, None, help, **own)


class _FloatOrAuto(flags.ArgumentParser):
    def parse(self, argument):
        return argument if argument == "auto" else float(argument)

    def flag_type(self):
        return "float or 'auto'"


def new_workdir(name: str) -> str:
    """Return a new folder below `runs/` for a script or for data of this name."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return f"runs/{pathlib.Path(name).resolve().stem}-{stamp}"
