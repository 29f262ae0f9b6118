"""Every recipe end to end, on tiny stand-ins for its data."""

import dataclasses
import json
import math
import re
import runpy
import signal
import subprocess
import sys

import pytest

import helpers
import stand_ins
from keras_mvssl import training
from keras_mvssl.data import imagenet100

RECIPES = ("shapes", "cifar10", "cifar100", "stl10", "imagenet100", "folder")


def read(name):
    """Return the recipe in a file, and its table of settings by views."""
    found = runpy.run_path(str(helpers.ROOT / "recipes" / f"{name}.py"))
    return found["RECIPE"], found["VIEWS"]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Write a folder of images, with TFDS data sets in folders beside it."""
    root = tmp_path_factory.mktemp("data")
    few = {"train": [0, 1] * 12, "test": [0, 1] * 4}
    stand_ins.write_tfds("cifar10", few, root / "tfds")
    stand_ins.write_tfds("cifar100", few, root / "tfds")
    stand_ins.write_tfds("stl10", {**few, "unlabelled": [-1] * 8}, root / "tfds")
    labels = [*imagenet100.CLASSES, "n01440764"]
    splits = {"train": labels, "validation": labels, "test": [-1]}
    stand_ins.write_tfds("imagenet2012", splits, root / "tfds")
    stand_ins.write_folder(root / "folder", 16, (16, 16))
    return root


@pytest.mark.parametrize("name", RECIPES)
def test_settings_for_each_number_of_views(name, capsys):
    recipe, table = read(name)
    assert set(table) == {2, 4, 8}
    if name == "folder":
        recipe = dataclasses.replace(recipe, data_dir="images")
    for views in table:
        tuned = training.tuned(dataclasses.replace(recipe, views=views), table)
        tuned.check()
        assert tuned.beta is not None
        row = {k: value for k, value in table[views].items() if k != "fractions"}
        for setting, value in row.items():
            given = value[tuned.projector_dim] if isinstance(value, dict) else value
            assert getattr(tuned, setting) == given
    assert "No settings are known" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "name, views",
    [
        pytest.param(name, views, marks=[] if name == "folder" else pytest.mark.slow)
        for name, views in zip(RECIPES, (8, 4, 2, 4, 8, 2), strict=True)
    ],
)
def test_recipe(name, views, data_dir, tmp_path, monkeypatch, small_backbone):
    helpers.draw_few_shapes(100, monkeypatch.setattr)
    recipe, table = read(name)
    folder = {"shapes": None, "folder": str(data_dir / "folder")}
    known = training.tuned(dataclasses.replace(recipe, views=views), table)
    size = {"imagenet100": dict(image_size=20, view_size=16)}.get(name, {})
    recipe = dataclasses.replace(
        known,
        data_dir=folder.get(name, str(data_dir / "tfds")),
        backbone="tiny",
        projector_dim=8,
        batch_size=4,
        epochs=1,
        steps_per_epoch=2,
        **size,
    )
    results = training.run(recipe, tmp_path / "run")
    assert results["views_seen"] == 2 * 4 * views
    assert math.isfinite(results["loss_final"]) and results["beta"] == known.beta
    assert 0 <= results["probe"]["final"] <= 1
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (
        config["augmentation"]["size"]
        == [{"stl10": 64}.get(name, 32 if name[:6] in ("shapes", "cifar1") else 16)] * 2
    )


@pytest.mark.parametrize("name", RECIPES)
def test_says_what_to_expect(name):
    text = (helpers.ROOT / "recipes" / f"{name}.py").read_text()
    docstring = text.split('"""')[1]
    assert f"    python recipes/{name}.py" in docstring
    assert re.search(r"not yet run|\d %|depend on", docstring)


# What each recipe begins with, before it imports libraries.
FIRST_LINES = """
import os
import signal

if __name__ == "__main__":  # While libraries are imported, a signal to stop ends it.
    for number in signal.valid_signals() & {1, 2, 15}:  # HUP, INT, TERM
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(75))

"""


@pytest.mark.parametrize("name", (*RECIPES, "evaluate"))
def test_recipes_hear_signals_first(name):
    text = (helpers.ROOT / "recipes" / f"{name}.py").read_text()
    assert text.split('"""\n', 1)[1].startswith(FIRST_LINES)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM"])
def test_the_first_lines_of_recipes_hear_signals(name, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"{FIRST_LINES}signal.raise_signal(signal.{name})\n")
    for ignored, code in ([], 75), ([getattr(signal, name)], 0):
        result = subprocess.run(helpers.ignoring(ignored, sys.executable, script))
        assert result.returncode == code


def test_reading_a_recipe_changes_no_handler():
    before = signal.getsignal(signal.SIGTERM)
    read("shapes")
    assert signal.getsignal(signal.SIGTERM) is before


def test_at_most_40_flags():
    text = helpers.run_script(helpers.ROOT / "recipes/stl10.py", "--help").stdout
    names = re.findall(r"^  --(?:\[no\])?(\w+)", text, re.MULTILINE)
    assert {"views", "loss", "view_size", "settings", "workdir"} < set(names)
    assert len(names) <= 40


# Starts a recipe with its flags, up to the run.
SHOW_RECIPE = """
import runpy, sys
from keras_mvssl.training import command_line
command_line.run = lambda recipe, *args, **kwargs: print(recipe)
sys.argv[0] = sys.argv.pop(1)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_flag_wins_over_the_table(tmp_path):
    script = helpers.ROOT / "recipes/imagenet100.py"
    arguments = "--views=8", "--beta=0.3"
    result = helpers.run_script("-c", SHOW_RECIPE, script, *arguments, cwd=tmp_path)
    assert "beta=0.3" in result.stdout, result.stderr
    assert "batch_size=250" in result.stdout


# β that the authors launched: by features with 2 views, and (features, views, share).
LAUNCHED = {
    "cifar10": (
        {
            **{64: 0.04, 128: 0.04, 256: 0.02, 512: 0.01},
            **{1024: 0.002, 2048: 0.001, 4096: 0.0004, 8192: 0.0008},
        },
        {
            **{(256, 4, 1): 0.01, (256, 8, 1): 0.01},
            **{(8192, 4, 1): 0.0004, (8192, 8, 1): 0.0004},
            **{(256, 4, 0.5): 0.01, (256, 8, 0.25): 0.006},
            **{(8192, 4, 0.5): 0.0008, (8192, 8, 0.25): 0.0004},
        },
    ),
    "stl10": (
        {
            **{64: 0.04, 128: 0.04, 256: 0.008, 512: 0.001},
            **{1024: 0.0008, 2048: 0.002, 4096: 0.0004, 8192: 0.0004},
        },
        {(256, 4, 1): 0.001, (256, 4, 0.5): 0.002, (256, 8, 0.25): 0.006},
    ),
    "imagenet100": (
        {
            **{128: 0.07, 256: 0.02, 512: 0.02, 1024: 0.005},
            **{2048: 0.007, 4096: 0.004, 8192: 0.001},
        },
        {
            **{(512, 4, 1): 0.01, (512, 8, 1): 0.01},
            **{(512, 4, 0.5): 0.004, (512, 8, 0.25): 0.01},
        },
    ),
}


@pytest.mark.parametrize("name", LAUNCHED)
def test_settings_of_the_authors(name):
    """Against the table of settings in their launch scripts."""
    found = runpy.run_path(str(helpers.ROOT / "recipes" / f"{name}.py"))
    recipe, table = found["AUTHORS"], found["AUTHORS_VIEWS"]

    def settings(dim, views=2, fraction=1.0):
        base = dataclasses.replace(
            recipe, projector_dim=dim, views=views, fraction=fraction
        )
        made = training.tuned(base, table)
        made.check()
        return made

    pairs, means = LAUNCHED[name]
    for dim, beta in pairs.items():
        made = settings(dim)
        assert (made.beta, made.pairing) == (beta, "all")
    for (dim, views, fraction), beta in means.items():
        made = settings(dim, views, fraction)
        assert (made.beta, made.pairing) == (beta, "mean")
        loss = made.make_loss()
        assert loss.l2_normalize and loss.standardization == "joint"
    assert (recipe.optimizer, recipe.learning_rate) == ("adam", 1e-3)
    assert (recipe.schedule, recipe.weight_decay) == ("constant", 1e-6)
    assert (recipe.epochs, recipe.warmup_epochs, recipe.stem) == (100, 0, "cifar")
    assert recipe.augmentation.hue == (0.1 if name == "imagenet100" else 0)
    sizes = {"cifar10": 128, "stl10": 100, "imagenet100": 256}
    networks = {"imagenet100": ("resnet18", 512)}
    dim = recipe.projector_dim
    assert settings(dim, 2).batch_size == settings(dim, 4).batch_size == sizes[name]
    assert (recipe.backbone, dim) == networks.get(name, ("resnet50", 256))
    assert recipe.balanced == (name == "imagenet100")


@pytest.mark.parametrize("name", ("cifar10", "cifar100", "stl10", "imagenet100"))
def test_one_formula_for_any_number_of_views(name):
    recipe, table = read(name)
    for views in (2, 4, 8):
        made = training.tuned(dataclasses.replace(recipe, views=views), table)
        assert made.make_loss().pairing == "mean"
    # β falls about as 1/D, never by a rule where the authors launched a value.
    made = training.tuned(dataclasses.replace(recipe, projector_dim=8192), table)
    assert made.beta >= 1e-4


def test_settings_of_the_authors_are_chosen_by_a_flag(tmp_path):
    script = helpers.ROOT / "recipes/cifar10.py"
    arguments = "--settings=authors", "--views=2", "--batch_size=512"
    result = helpers.run_script("-c", SHOW_RECIPE, script, *arguments, cwd=tmp_path)
    for text in ("backbone='resnet50'", "pairing='all'", "beta=0.02", "batch_size=512"):
        assert text in result.stdout, result.stderr
    result = helpers.run_script("-c", SHOW_RECIPE, script, cwd=tmp_path)
    assert "backbone='resnet18'" in result.stdout and "pairing=None" in result.stdout
    other = helpers.run_script(script, "--settings=authors", "--loss=vicreg")
    assert other.returncode == 2 and "Received: --loss=vicreg" in other.stderr
    shapes = helpers.run_script(helpers.ROOT / "recipes/shapes.py", "--settings=ours")
    assert shapes.returncode == 2 and "settings" in shapes.stderr
