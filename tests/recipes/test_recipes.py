"""Every recipe end to end, on tiny stand-ins for its data."""

import dataclasses
import json
import math
import re
import runpy

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
        for setting, value in table[views].items():
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


def test_at_most_30_flags():
    text = helpers.run_script(helpers.ROOT / "recipes/stl10.py", "--help").stdout
    names = re.findall(r"^  --(?:\[no\])?(\w+)", text, re.MULTILINE)
    assert {"views", "loss", "view_size", "workdir"} < set(names)
    assert len(names) <= 30


def test_a_flag_wins_over_the_table(tmp_path):
    code = """
import runpy, sys
from keras_mvssl.training import command_line
command_line.run = lambda recipe, *args, **kwargs: print(recipe)
sys.argv[0] = sys.argv.pop(1)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    script = helpers.ROOT / "recipes/imagenet100.py"
    arguments = "--views=8", "--beta=0.3"
    result = helpers.run_script("-c", code, script, *arguments, cwd=tmp_path)
    assert "beta=0.3" in result.stdout, result.stderr
    assert "batch_size=250" in result.stdout
