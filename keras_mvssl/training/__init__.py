"""One run of a recipe, and training that can be stopped and goes on."""

from keras_mvssl._internal.files import write_json
from keras_mvssl.callbacks.interrupted import Interrupted
from keras_mvssl.training.build import Parts
from keras_mvssl.training.build import build
from keras_mvssl.training.command_line import main
from keras_mvssl.training.fit import fit
from keras_mvssl.training.provenance import provenance
from keras_mvssl.training.recipe import Recipe
from keras_mvssl.training.run import run
from keras_mvssl.training.view_table import tuned

__all__ = [
    "Interrupted",
    "Parts",
    "Recipe",
    "build",
    "fit",
    "main",
    "provenance",
    "run",
    "tuned",
    "write_json",
]
