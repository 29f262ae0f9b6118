"""The scripts of the studies, as modules."""

import functools
import importlib.util
import sys

import pytest
from absl import flags

import helpers

STUDIES = helpers.ROOT / "recipes/studies"
sys.path.append(str(STUDIES))  # where the scripts look for what they share


def script(name):
    """Load a script, whose flags become those of the tests."""
    spec = importlib.util.spec_from_file_location(
        f"study_{name}", STUDIES / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script_with_own_flags(name):
    """Load a script whose flags have names that other scripts have; return both."""
    own = flags.FlagValues()
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("enum", "string", "integer", "float"):
            define = getattr(flags, f"DEFINE_{kind}")
            with_own = functools.partial(define, flag_values=own)
            patch.setattr(flags, f"DEFINE_{kind}", with_own)
        module = script(name)
    own.mark_as_parsed()
    return module, own
