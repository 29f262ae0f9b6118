"""The subcommand `pretrain`: what it chooses, and what it runs."""

import numpy as np
import pytest
from PIL import Image

from keras_mvssl import command
from keras_mvssl.command import choices
from keras_mvssl.command import quick_look
from keras_mvssl.training import Recipe
from keras_mvssl.training import command_line


@pytest.fixture
def recipes(monkeypatch):
    """The recipes that would be run, with their workdirs."""
    found = []
    monkeypatch.setattr(
        command_line, "run", lambda recipe, *rest: found.append((recipe, *rest))
    )
    return found


def write_images(folder, sizes, suffix=".png"):
    folder.mkdir(parents=True)
    for index, size in enumerate(sizes):
        Image.new("RGB", size).save(folder / f"{index:03}{suffix}")


def test_a_folder_needs_nothing_else(tmp_path, recipes, capsys):
    write_images(tmp_path / "mine", [(80, 70)] * 10 + [(200, 66)] * 20)
    write_images(tmp_path / "mine/.hidden", [(10, 10)] * 40)
    assert command.main(["pretrain", str(tmp_path / "mine"), "--views=2"]) == 0
    ((recipe, workdir, resume),) = recipes
    assert recipe.dataset == f"folder:{tmp_path / 'mine'}" and recipe.image_size == 64
    assert (recipe.views, recipe.batch_size, recipe.augment) == (2, 16, "device")
    assert workdir.startswith("runs/mine-") and resume == "auto"
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[0] == "image_size=64" for line in lines)
    assert not any("views=" in line for line in lines)  # It was given.


def test_an_npz_file_of_gray_images(tmp_path, recipes):
    path = tmp_path / "gray.npz"
    np.savez(path, x_train=np.zeros((5000, 28, 28, 1), "uint8"))
    assert command.main(["pretrain", str(path)]) == 0
    recipe = recipes[0][0]
    recipe.check()
    assert recipe.image_size is None and recipe.view_size is None
    assert recipe.augmentation_for((28, 28, 1)).hue == 0


def test_a_run_of_an_npz_file_goes_on_without_data(
    tmp_path, labelled, small_backbone, capsys
):
    path, workdir = tmp_path / "data.npz", str(tmp_path / "run")
    np.savez(path, x_train=labelled[0])
    flags = ["--batch_size=8", "--epochs=1", f"--workdir={workdir}"]
    assert command.main(["pretrain", str(path), *flags, "--views=3"]) == 0
    made = Recipe.from_config(workdir)
    assert (made.views, made.batch_size, made.learning_rate) == (3, 8, 2e-3)
    capsys.readouterr()
    assert command.main(["pretrain", f"--workdir={workdir}"]) == 0
    assert "This run is complete" in capsys.readouterr().out
    assert command.main(["pretrain", f"--workdir={workdir}", "--beta=0.5"]) == 1


@pytest.mark.parametrize(
    "arguments", [["cifar10"], ["--recipe=cifar10"], ["data", "--recipe=cifar10"]]
)
def test_a_recipe_of_the_package(arguments, recipes):
    authors = ["--settings=authors", "--views=2", "--augmentation=hue=0.2"]
    assert command.main(["pretrain", *arguments, *authors]) == 0
    recipe = recipes[0][0]
    assert (recipe.backbone, recipe.pairing, recipe.beta) == ("resnet50", "all", 0.02)
    assert recipe.dataset == "cifar10" and recipe.augmentation.hue == 0.2
    assert recipe.data_dir == ("data" if arguments[0] == "data" else None)


@pytest.mark.parametrize(
    "images, size, given, on_accelerator, expected",
    [
        (12_000, 32, {}, False, dict(image_size=32, batch_size=256, epochs=3)),
        (12_000, 32, {"views": 2}, False, dict(epochs=7)),
        (10_000, 500, {}, False, dict(image_size=64, epochs=1, backbone="tiny")),
        (600, 500, {}, True, dict(image_size=128, stem="imagenet", epochs=800)),
        (600, 64, {}, True, dict(image_size=64, stem="cifar", batch_size=16)),
        (10**6, 70, {}, True, dict(image_size=64, epochs=20, batch_size=256)),
        (10**6, 32, {"fraction": 0.001}, True, dict(batch_size=32, epochs=800)),
        (40, 20, {}, False, dict(image_size=20, batch_size=16)),
        (9, 32, {}, False, dict(batch_size=8, epochs=800)),
        (600, 32, {"backbone": "resnet18"}, False, dict(learning_rate=3e-3)),
        (600, 32, {"workers": 2}, False, dict(batch_size=16)),
    ],
)
def test_choices(images, size, given, on_accelerator, expected):
    look = quick_look.Look(images, [(size, size)])
    found = choices.Choices(look, given, on_accelerator).settings
    assert expected.items() <= found.items() and not set(given) & set(found)
    Recipe(**{"dataset": "folder:x", **given, **found}).check()


def test_arrays_are_not_resized_but_their_views_are():
    look = quick_look.Look(100, [(96, 96)], resizes=False)
    found = choices.Choices(look, {}, False).settings
    assert found["view_size"] == 64 and "image_size" not in found
