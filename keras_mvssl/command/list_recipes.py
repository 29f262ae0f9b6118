"""Subcommand `recipes`: the recipes that come with the package."""

import textwrap

from keras_mvssl.command import recipe_files


def add(parser):
    """List the recipes, and the accuracies that were measured."""


def start(arguments):
    """Print the recipes."""
    for name in recipe_files.NAMES:
        file = recipe_files.read(name)
        recipe, table = file.choices["ours"]
        views = ", ".join(map(str, sorted(table)))
        print(
            f"{name}: {recipe.backbone}, projector of {recipe.projector_dim}, "
            f"{recipe.epochs} epochs, for {views} views"
        )
        if "authors" in file.choices:
            print("  --settings=authors: those of the paper's authors")
        text = " ".join(file.measured).replace(" %", "\xa0%")  # on one line
        lines = textwrap.wrap(text, 76)
        print(*(f"  {line}".replace("\xa0", " ") for line in lines), sep="\n")
