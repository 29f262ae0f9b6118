"""Scripts and guides use nothing of the package but its public names."""

import ast
import functools

import pytest

import helpers

ROOT = helpers.ROOT
SCRIPTS = [
    path
    for folder in ("recipes", "guides")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
# The version of the package: a name that Python sets apart, and not in `__all__`.
VERSION = "__version__"
# A name of Python's own that is documented, and begins with an underscore.
DOCUMENTED = "os._exit"


@functools.cache
def exported_names(package):
    """Return the names in the `__all__` of a package; None if it is not a package."""
    path = ROOT.joinpath(*package.split("."), "__init__.py")
    if not path.is_file():
        return None
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if "__all__" in map(ast.unparse, targets):
            return set(ast.literal_eval(node.value))
    return set()


def first_hidden_name(chain):
    """Return the first part of a dotted name of the package that is not public.

    Args:
        chain: A name such as `keras_mvssl.views.Augmentation.preset`. Each part is
            looked up in the `__all__` of the package before it; after an object that
            is no package, a part must not begin with an underscore.

    Returns:
        The name up to that part, or None where all of them are public.
    """
    package, *parts = chain.split(".")
    for part in parts:
        names = exported_names(package)
        is_public = not part.startswith("_") if names is None else part in names
        if not is_public and part != VERSION:
            return f"{package}.{part}"
        package = f"{package}.{part}"
    return None


def hidden_module(module):
    """Return the name of a module that imports must not name, else None.

    Only packages may be named. A module of a package may have the name of a public
    function (`keras_mvssl.training.build`), so its name does not tell.
    """
    hidden = first_hidden_name(module)
    return module if hidden is None and exported_names(module) is None else hidden


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def dotted_name(node):
    """Return `a.b.c` for an expression of names and dots, else None."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def imported_names(tree):
    """Return `{local name: full name}` of all imports, at any depth of the code."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def hidden_uses(source):
    """List the uses in a script of names that are not public, as `line: name`."""
    tree = ast.parse(source)
    imported, found = imported_names(tree), set()
    for node in ast.walk(tree):
        modules, names, hidden = [], [], []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module]
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            name = dotted_name(node) or ""
            first, _, rest = name.partition(".")
            if first in imported:
                names = [f"{imported[first]}.{rest}"]
            elif is_private(node.attr) and first not in ("self", "cls"):
                hidden = [ast.unparse(node)]
        for name in modules + names:
            if name.split(".")[0] == "keras_mvssl":
                find = hidden_module if name in modules else first_hidden_name
                hidden.append(find(name))
            elif name != DOCUMENTED and any(map(is_private, name.split("."))):
                hidden.append(name)
        found |= {f"{node.lineno}: {name}" for name in hidden if name}
    return sorted(found)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_uses_public_names_only(path):
    assert hidden_uses(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source, found",
    [
        ("import keras_mvssl as mv\nmv.distribution.processes()", "2: keras_mvssl.d"),
        ("import keras_mvssl\nkeras_mvssl._backend.matmul", "2: keras_mvssl._backend"),
        ("import keras_mvssl.training.results", "1: keras_mvssl.training.results"),
        ("import keras_mvssl._internal.files as f", "1: keras_mvssl._internal"),
        (
            "from keras_mvssl import losses\nlosses.correlations",
            "2: keras_mvssl.losses",
        ),
        ("from keras_mvssl.training import results as r", "1: keras_mvssl.training.r"),
        (
            "from keras_mvssl.training.build import build",
            "1: keras_mvssl.training.buil",
        ),
        ("import keras_mvssl.training.build", "1: keras_mvssl.training.build"),
        ("from keras_mvssl import *", "1: keras_mvssl.*"),
        (
            "import keras_mvssl as mv\nmv.MultiViewModel._project",
            "2: keras_mvssl.Multi",
        ),
        ("from common.grid import _own", "1: common.grid._own"),
        ("from common import grid\ngrid._own", "2: common.grid._own"),
        ("def f(model):\n    model._flatten_layers()", "2: model._flatten_layers"),
        ("class A(B):\n    def f(self):\n        super()._save()", "3: super()._save"),
    ],
)
def test_a_hidden_name_is_found(source, found):
    (only,) = hidden_uses(source)
    assert only.startswith(found)


def test_public_names_are_not_reported():
    source = """
import keras
import keras_mvssl as mv
from keras_mvssl import training
from keras_mvssl.data import shapes
from keras_mvssl.views import Augmentation

Augmentation.preset("shapes"), mv.views.KerasCVViews, training.run, mv.__version__
shapes.draw(8), mv.stream_version, keras.__version__

class Own(keras.Model):
    def call(self, x):
        return self._layer(x), super().__init__()
"""
    assert hidden_uses(source) == []
