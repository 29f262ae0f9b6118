"""Subcommand `pretrain`: training on images without labels."""

import dataclasses
import difflib
import pathlib
from typing import Any

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal import files
from keras_mvssl.command import loading
from keras_mvssl.command import quick_look
from keras_mvssl.command import recipe_files
from keras_mvssl.command.choices import Choices
from keras_mvssl.command.parser import UsageError
from keras_mvssl.command.parser import add_settings
from keras_mvssl.distribution import launch
from keras_mvssl.training import Recipe
from keras_mvssl.training import workdir
from keras_mvssl.training.command_line import choose
from keras_mvssl.training.command_line import new_workdir
from keras_mvssl.training.command_line import start_run

SETTINGS = [x.name for x in dataclasses.fields(Recipe) if x.metadata["group"]]


def add(parser):
    """Learn an encoder from images without labels."""
    text = (
        "A folder, an npz file, a recipe such as cifar10, or a name of data.load. "
        "With --recipe, the `data_dir` of that recipe. It may be left out where "
        "--workdir is a run to go on with."
    )
    parser.position("DATA", text, nargs="?")
    add_settings(parser, Recipe)
    text = "Recipe whose settings are the defaults; `keras-mvssl recipes` lists them."
    parser.flag("where", "recipe", text, metavar="NAME")
    text = "`authors`: the settings of the paper's authors, of a recipe that has them."
    choices = ("ours", "authors")
    parser.flag("where", "settings", text, choices=choices, default="ours")
    text = (
        "Folder for the run. New, empty, or of a run, which goes on with its own "
        "settings; flags are changes to them. Default: a new folder below runs/."
    )
    parser.flag("where", "workdir", text, metavar="FOLDER")
    text = (
        "Whether a run in --workdir goes on. `auto`: if there is one; `never`: the "
        "folder must be new or empty; `must`: there must be one."
    )
    parser.flag(
        "where", "resume", text, choices=("auto", "never", "must"), default="auto"
    )
    text = "File of further flags, one a line; a flag after it wins."
    parser.flag("where", "flagfile", text, metavar="FILE")


def start(arguments):
    """Choose what is not given, and run."""
    values = {name: getattr(arguments, name) for name in SETTINGS}
    given = {name: value for name, value in values.items() if value is not None}
    try:
        _check(arguments, given)
        choices = _choices(arguments, given)
        recipe = choose(choices, arguments.settings, given)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from error
    named = arguments.recipe or arguments.data or "run"
    start_run(recipe, arguments.workdir or new_workdir(named), arguments.resume)


def _check(arguments, given):
    """Check what can be checked before data are looked at; raise ValueError."""
    Recipe(**given).check()
    if "init" in given and not files.is_file(given["init"]):
        raise UsageError(f"No such file. Received: --init={given['init']}")
    # Of processes that are started here, another one may have begun the run already.
    if arguments.workdir is not None and not launch.is_worker():
        workdir.find(files.local_path(arguments.workdir, "workdir"), arguments.resume)


def _choices(arguments, given):
    """Return the recipes to choose from, as `choose` takes them.

    `given` receives the `data_dir` that DATA stands for.
    """
    name = arguments.recipe or arguments.data
    file = None
    if arguments.recipe or name in recipe_files.NAMES:
        if name not in recipe_files.NAMES:
            raise UsageError(_no_recipe(name))
        file = recipe_files.read(name)
        if arguments.data not in (None, name):
            given.setdefault("data_dir", arguments.data)
    if arguments.workdir and (pathlib.Path(arguments.workdir) / "config.json").exists():
        return _of_run(arguments, file, given)
    if file is None and arguments.settings != "ours":
        raise UsageError("--settings=authors goes with a recipe")
    if file is not None:
        if arguments.settings not in file.choices:
            raise UsageError(f"The recipe {name} has no settings of the authors")
        return file.choices
    if arguments.data is None:
        raise UsageError(
            "DATA is missing: a folder, an npz file or a name; or --workdir of a run "
            "to go on with"
        )
    return {"ours": (_for_data(arguments.data, given), {})}


def _of_run(arguments, file, given):
    """Return the recipe of the run in the workdir, for the data that are named."""
    recipe = Recipe.from_config(arguments.workdir)
    distribution.data_parallel(given.get("devices", recipe.devices))
    if distribution.is_chief():
        print(f"The settings are those of {arguments.workdir}", flush=True)
    dataset = recipe.dataset
    if file is not None:
        dataset = file.choices["ours"][0].dataset
    elif arguments.data is not None:
        dataset = loading.dataset(arguments.data)
    return {arguments.settings: (dataclasses.replace(recipe, dataset=dataset), {})}


def _no_recipe(name):
    found = difflib.get_close_matches(name, recipe_files.NAMES, n=1)
    guess = f"; did you mean {found[0]}?" if found else ""
    return f"no recipe {name}{guess or ': ' + ', '.join(recipe_files.NAMES)}"


def _for_data(data: str, given: dict[str, Any]) -> Recipe:
    """Return a recipe for data of which nothing is known, by a quick look."""
    dataset = loading.dataset(data)
    # Before anything is computed: backends must not have started, and of processes
    # that are started here, each looks for itself.
    distribution.data_parallel(given.get("devices"))
    kind, _, path = dataset.partition(":")
    look = None
    if kind == "folder":
        look = quick_look.look_at_folder(path)
    elif kind == "npz":
        look = quick_look.look_at_npz(path)
    choices = Choices(look, given, _backend.has_accelerator())
    if distribution.is_chief():
        print("Chosen by a quick look; flags that are given win:")
        print(*choices.lines(), sep="\n", flush=True)
    return Recipe(**{"dataset": dataset, **choices.settings})
