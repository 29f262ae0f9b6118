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
            f"{name}: {recipe.backbone}, projector of {recipe.projector_dim} features, "
            f"{recipe.epochs} epochs; settings for {views} views"
        )
        if "authors" in file.choices:
            print("  --settings=authors: those of the paper's authors")
        text = " ".join(file.measured)
        print(textwrap.fill(text, 78, initial_indent="  ", subsequent_indent="  "))
