"""The scripts of the studies, as modules."""

import importlib.util
import sys

import helpers

STUDIES = helpers.ROOT / "recipes/studies"
sys.path.append(str(STUDIES))  # where the scripts look for what they share


def script(name):
    spec = importlib.util.spec_from_file_location(
        f"study_{name}", STUDIES / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
