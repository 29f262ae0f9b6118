"""Settings are said once: fields, choices, flags and documentation agree."""

import dataclasses
import fractions
import functools
import importlib
import json
import pathlib
import typing

import numpy as np
import pytest
from absl import flags

import helpers
from keras_mvssl.training import Recipe
from keras_mvssl.training import command_line
from keras_mvssl.training import fields
from keras_mvssl.training import recipe as recipes
from keras_mvssl.training.provenance import known_settings

BUILD = importlib.import_module("keras_mvssl.training.build")
FIELDS = {field.name: field for field in dataclasses.fields(Recipe)}
RECIPE = Recipe(dataset="shapes")
# The flags of the design, of those for which there is something yet.
FLAGS = {
    "data": "data_dir image_size fraction on_bad_image workers",
    "views": "views view_size augment augmentation",
    "model": "backbone projector_dim init precision",
    "loss": "loss beta pairing",
    "optimisation": "epochs steps_per_epoch batch_size accumulate optimizer "
    "learning_rate weight_decay warmup_epochs seed",
    "watching": "probe_every checkpoint_minutes checkpoint_steps verbose",
    "where": "devices",
}


@pytest.mark.parametrize(
    "name, objects",
    [
        ("loss", recipes.LOSSES),
        ("backbone", BUILD.BACKBONES),
        ("optimizer", BUILD.OPTIMIZERS),
    ],
)
def test_each_choice_has_an_object(name, objects):
    assert set(typing.get_args(FIELDS[name].type)) == set(objects)


def test_each_field_is_explained():
    for name, field in FIELDS.items():
        explanation = field.metadata["help"]
        assert explanation.endswith("."), name
        assert ("No flag." in explanation) == (field.metadata["group"] is None)


@pytest.fixture
def groups(monkeypatch):
    """The flags of a recipe, in a registry of their own."""
    own = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", own)
    for name in ("", "_string", "_enum", "_integer", "_float", "_bool"):
        define = functools.partial(getattr(flags, f"DEFINE{name}"), flag_values=own)
        monkeypatch.setattr(flags, f"DEFINE{name}", define)
    return command_line.define_flags(RECIPE, {"beta"})


def test_flags_by_group(groups):
    expected = {group: set(names.split()) for group, names in FLAGS.items()}
    assert {group: set(names) for group, names in groups.items()} == expected
    assert tuple(groups) == fields.GROUPS
    text = command_line.help_text("A title.", groups)
    assert text.startswith("A title.\n\ndata:\n  --data_dir=<string>\n")
    assert "--augment=<kerascv|device>\n" in text
    assert "--beta=<float or 'auto'>\n" in text and "--views=<int>\n" in text
    assert "      Views of each image. Default: 4." in text
    assert "Default: goes with the views, in the table of the recipe." in text


def test_flags_take_values_of_their_kind(groups):
    flags.FLAGS(["a.py", "--views=8", "--beta=auto", "--weight_decay=0.1"])
    values = flags.FLAGS.flag_values_dict()
    assert (values["views"], values["beta"], values["weight_decay"]) == (8, "auto", 0.1)
    assert values["epochs"] is None  # not given
    for wrong in ("--augment=gpu", "--views=two", "--beta=low"):
        with pytest.raises(flags.IllegalFlagValueError):
            flags.FLAGS(["a.py", wrong])


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("augment", "gpu", "one of .'kerascv', 'device'.. Received: augment='gpu'"),
        ("stem", "vgg", "one of .'cifar', 'imagenet'.. Received: stem='vgg'"),
        ("views", 1, "an int of at least 2. Received: views=1"),
        ("views", 2.5, "an int of at least 2. Received: views=2.5"),
        ("learning_rate", 0, "a number above 0. Received: learning_rate=0"),
        ("weight_decay", -1, "a number of at least 0. Received: weight_decay=-1"),
        ("warmup_epochs", float("inf"), "Received: warmup_epochs=inf"),
        ("learning_rate", float("inf"), "must be finite. Received: learning_rate=inf"),
        ("warmup_epochs", float("nan"), "Received: warmup_epochs=nan"),
    ],
)
def test_values_outside_their_bounds_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(RECIPE, **{name: value}).check()


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("views", np.int64(8), 8),
        ("views", np.arange(9, dtype="int32")[8], 8),
        ("projector_dim", np.array(8), 8),
        ("batch_size", np.uint8(8), 8),
        ("learning_rate", np.float32(0.5), 0.5),
        ("weight_decay", np.float16(0.5), 0.5),
        ("warmup_epochs", np.longdouble(0.5), 0.5),
        ("beta", np.float64(0.5), 0.5),
        ("beta", np.str_("auto"), "auto"),
        ("l2_normalize", np.bool_(True), True),
        ("data_dir", pathlib.Path("here"), "here"),
    ],
)
def test_values_of_numpy_and_paths_are_taken_as_plain_ones(name, value, expected):
    recipe = dataclasses.replace(RECIPE, **{"dataset": "cifar10", name: value})
    recipe.check()
    found = getattr(recipe, name)
    assert found == expected and type(found) is type(expected)
    assert recipe == dataclasses.replace(recipe, **{name: expected})
    json.dumps(known_settings(recipe))


@pytest.mark.parametrize(
    "name, value",
    [
        ("epochs", True),
        ("epochs", np.array([1, 2])),
        ("learning_rate", fractions.Fraction(1, 2)),
        ("learning_rate", 1j),
        ("fraction", np.array([0.5])),
        ("fraction", "all"),
        ("beta", "low"),
        ("l2_normalize", "yes"),
        ("image_size", "32"),
        ("data_dir", 3),
        ("seed", np.datetime64("2020-01-01")),
        ("loss", ["vicreg"]),
        ("pairing", np.array(["all", "mean"])),
        ("augmentation", {"size": 16}),
    ],
)
def test_values_of_another_type_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be .*Received: {name}="):
        dataclasses.replace(RECIPE, **{name: value}).check()


def test_checkpoints_may_be_untimed():
    dataclasses.replace(RECIPE, checkpoint_minutes=float("inf")).check()


# Only the package is imported again: to compile all of TensorFlow takes long.
WITHOUT_DOCSTRINGS = """
import importlib.machinery
import sys


def get_code(loader, name):
    path = loader.get_filename(name)
    return compile(loader.get_data(path), path, "exec", optimize=2)


importlib.machinery.SourceFileLoader.get_code = get_code
for name in [name for name in sys.modules if name.startswith("keras_mvssl")]:
    del sys.modules[name]
import keras_mvssl.training

assert keras_mvssl.training.Recipe.check.__doc__ is None
"""


def test_without_docstrings():
    """As `python -OO` imports the package."""
    result = helpers.run_script("-c", WITHOUT_DOCSTRINGS)
    assert result.returncode == 0, result.stderr
