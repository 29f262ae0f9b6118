"""Imports stay light, and the package keeps to the rules of its house."""

import ast
import collections
import graphlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
import zipfile

import keras
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl.command import recipe_files

PACKAGE = pathlib.Path(mv.__file__).parent
FILES = {
    path.relative_to(PACKAGE): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {path: ast.parse(text) for path, text in FILES.items()}
# The rooms (folders of the package), highest first. A room imports rooms of lower
# levels, or of its own level as long as there is no cycle.
LEVELS = [
    {"command"},
    {"training", "report"},
    {"callbacks"},
    {"evaluation", "data"},
    {"models"},
    {"losses", "views", "optimizers"},
    {"distribution"},
    {"_backend", "_internal"},
]
ROOMS = set().union(*LEVELS)
UNCLEAR_START = r"\.py: (What|Who|How|Whether|As|Of|That|It)\b"


IMPORT = """
import sys
import keras_mvssl as mv

mv.training.Recipe, mv.report.write  # by their names, without importing them
import keras
import numpy as np

images = keras.Input((4, 4, 3))
encoder = keras.Model(images, keras.layers.Flatten()(images))
model = mv.MultiViewModel(encoder, mv.models.Projector(48, 8))
model.compile()
model.fit(np.random.randint(0, 256, (4, 2, 4, 4, 3)), verbose=0)
mv.training.Recipe(dataset="shapes")
heavy = {"tensorflow", "tensorflow_datasets", "keras_cv"} & set(sys.modules)
print(*heavy)
"""


def test_import_reaches_all_rooms_and_brings_no_tensorflow():
    backend = keras.backend.backend()
    result = helpers.run_python("-c", IMPORT, backend=backend)
    assert result.returncode == 0, result.stderr
    if backend != "tensorflow":
        assert not result.stdout.split()
    assert not hasattr(mv, "trainin")


def test_an_unknown_backend_is_named():
    result = helpers.run_python("-c", "import keras_mvssl", backend="jx")
    last = result.stderr.strip().splitlines()[-1]
    assert "'jax' or 'torch'" in last and "pip install" in last
    assert last.endswith("Received: KERAS_BACKEND=jx")


def room_of(path):
    """Return the room of a file; None for a file at the root of the package."""
    return path.parts[0] if len(path.parts) > 1 else None


def imported_names(path, tree):
    """Yield the full names that a file imports, inside functions too."""
    package = ("keras_mvssl", *path.parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports_between_rooms():
    """Return each import of another room: `{(room, other): "file imports name"}`."""
    found = {}
    for path, tree in TREES.items():
        for name in imported_names(path, tree):
            package, _, rest = name.partition(".")
            other = rest.split(".")[0]
            other = other if other in ROOMS else "root"
            if room_of(path) and package == "keras_mvssl" and other != room_of(path):
                found[room_of(path), other] = f"{path} imports {name}"
    return found


def test_rooms_import_downwards_only():
    level_of = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
    level_of["root"] = -1  # The root imports rooms: no room may import the root.
    imports = imports_between_rooms()
    assert {("training", "report"), ("models", "losses")} <= set(imports)
    upward = [
        place
        for (room, other), place in imports.items()
        if level_of[other] < level_of[room]
    ]
    assert not upward
    imported = collections.defaultdict(set)
    for room, other in imports:
        imported[room].add(other)
    graphlib.TopologicalSorter(imported).prepare()  # Raises CycleError for a cycle.


def test_the_root_holds_rooms_alone():
    entries = {path for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    folders = {path.name for path in entries if path.is_dir()}
    assert folders == ROOMS
    files = {path.name for path in entries if not path.is_dir()}
    assert files - {"__main__.py"} == {"__init__.py", "py.typed"}


def repeated(names):
    return [name for name, count in collections.Counter(names).items() if count > 1]


def test_no_two_modules_have_one_name():
    modules = [path.stem for path in FILES if not path.stem.startswith("__")]
    assert not repeated([*modules, *ROOMS])


def test_no_two_public_classes_have_one_name():
    nodes = [node for tree in TREES.values() for node in tree.body]
    classes = [node.name for node in nodes if isinstance(node, ast.ClassDef)]
    assert "MultiViewModel" in classes
    assert not repeated(name for name in classes if not name.startswith("_"))


def test_files_can_be_read_in_one_sitting():
    lengths = {str(path): len(text.splitlines()) for path, text in FILES.items()}
    assert not {path: length for path, length in lengths.items() if length > 300}
    assert statistics.median(lengths.values()) <= 110


def test_rooms_below_training_know_no_recipe():
    signatures = [
        (str(path), ast.unparse(part))
        for path, tree in TREES.items()
        if room_of(path) not in (None, "training", "command")
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for part in (node.args, getattr(node, "returns", None) or ast.Tuple([]))
    ]
    assert any("projections" in signature for _, signature in signatures)
    assert not [found for found in signatures if "recipe" in found[1].lower()]


def test_the_steps_of_a_run_are_short():
    lengths = {
        node.name: node.end_lineno - node.body[0].end_lineno  # after the docstring
        for node in TREES[pathlib.Path("training/run.py")].body
        if isinstance(node, ast.FunctionDef)
    }
    assert max(lengths[name] for name in ("run", "prepare", "train", "finish")) <= 40


def test_docstrings_name_their_subject():
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [
        f"{path}: {ast.get_docstring(node).splitlines()[0]}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, kinds) and ast.get_docstring(node)
    ]
    assert len(docstrings) > len(FILES)
    unclear = [text for text in docstrings if re.search(UNCLEAR_START, text)]
    assert len(unclear) <= 3, "\n".join(unclear)


def test_all_recipes_are_in_the_wheel():
    setup = tomllib.loads((helpers.ROOT / "pyproject.toml").read_text())
    listed = {name.split(".")[-1] for name in setup["tool"]["setuptools"]["py-modules"]}
    recipes = {path.stem for path in (helpers.ROOT / "recipes").glob("*.py")}
    assert listed == recipes - {"evaluate"} == set(recipe_files.NAMES)


# Runs the recipes of an unpacked wheel, beside which there is no clone.
LIST_RECIPES = """
import pathlib, keras_mvssl
from keras_mvssl.command import recipe_files
assert not (pathlib.Path(keras_mvssl.__file__).parents[1] / "recipes").exists()
print(*(recipe_files.read(name).measured[0] for name in recipe_files.NAMES))
"""


@pytest.mark.once
def test_a_wheel_brings_recipes_and_command(tmp_path):
    for name in ("keras_mvssl", "recipes"):
        ignored = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(helpers.ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(helpers.ROOT / name, tmp_path)
    pip = sys.executable, "-m", "pip", "wheel", "-q", "--no-deps"
    options = "--no-build-isolation", "-w", tmp_path / "wheels", tmp_path
    subprocess.run([*pip, *options], check=True, timeout=helpers.TIME_LIMIT)
    (wheel,) = (tmp_path / "wheels").iterdir()
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    names = {path.stem for path in (tmp_path / "site/keras_mvssl/recipes").iterdir()}
    assert names == set(recipe_files.NAMES)
    (entries,) = (tmp_path / "site").glob("*.dist-info/entry_points.txt")
    assert "keras-mvssl = keras_mvssl.__main__:main" in entries.read_text()
    site = {"PYTHONPATH": str(tmp_path / "site")}
    result = subprocess.run(
        [sys.executable, "-c", LIST_RECIPES],
        env={**os.environ, **site},
        cwd=tmp_path / "site",
        capture_output=True,
        text=True,
        timeout=helpers.TIME_LIMIT,
    )
    assert "80.5 %" in result.stdout, result.stderr
