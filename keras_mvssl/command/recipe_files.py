"""Recipes that come with the package: scripts, read without running them."""

import dataclasses
import pathlib
import re
import runpy

from keras_mvssl.training import Recipe
from keras_mvssl.training.command_line import ViewTable

NAMES = ("shapes", "cifar10", "cifar100", "stl10", "imagenet100", "folder")


@dataclasses.dataclass(frozen=True)
class RecipeFile:
    """Content of the script of a recipe.

    Attributes:
        name: Its name, that of its file.
        text: Its docstring; empty where Python strips docstrings.
        choices: Its recipes and tables by the values of `--settings`.
    """

    name: str
    text: str
    choices: dict[str, tuple[Recipe, ViewTable]]

    @property
    def measured(self) -> list[str]:
        """The sentences on what was measured, or what was not yet run."""
        paragraphs = [" ".join(text.split()) for text in self.text.split("\n\n")]
        sentences = [x for text in paragraphs for x in re.split(r"(?<=\.) ", text)]
        return [x for x in sentences if re.search(r"\d %|not yet run|depend on", x)]


def read(name: str) -> RecipeFile:
    """Read the recipe of a name in `NAMES`.

    Raises:
        ValueError: Where the package was installed without its recipes.
    """
    path = _folder() / f"{name}.py"
    if not path.is_file():
        raise ValueError(
            "The recipes are beside the package in a clone, and in a wheel of it. "
            f"Received: no file {path}"
        )
    found = runpy.run_path(str(path))
    choices = {"ours": (found["RECIPE"], found["VIEWS"])}
    if "AUTHORS" in found:
        choices["authors"] = found["AUTHORS"], found["AUTHORS_VIEWS"]
    return RecipeFile(name, found["__doc__"] or "", choices)


def _folder():
    """Return the folder of recipes: in a wheel, or beside the package in a clone."""
    package = pathlib.Path(__file__).parents[1]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"
