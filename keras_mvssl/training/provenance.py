"""The settings of a run, and the circumstances of its numbers."""

import dataclasses
import datetime
import os
import platform
import shlex
import sys
from typing import Any

import keras

from keras_mvssl import _backend
from keras_mvssl._internal.stream_version import STREAM_VERSION
from keras_mvssl.callbacks import checkpoint_store
from keras_mvssl.data import splits as splits_of_data
from keras_mvssl.training.commit import commit
from keras_mvssl.training.own_parts import NO_PARTS
from keras_mvssl.training.saved_settings import REPLACED
from keras_mvssl.views import Augmentation


def provenance() -> dict[str, Any]:
    """Collect the circumstances that a measured number must be quoted with.

    Returns:
        A dict that JSON can hold: `command`, `backend`, `device`, `commit`, `date`,
        `versions`, `stream_version`, `processor`, `cpu_cores`. The commit is that of
        the package when the process first asked, and ends with `+changes` where files
        differ from it; it is None where the package does not lie in a clone of its own
        repository.

    Example:
    ```python
    keras_mvssl.training.provenance()["versions"]["keras"]
    ```
    """
    variables = {"KERAS_BACKEND": keras.backend.backend()}
    for name, value in os.environ.items():  # These change how fast a CPU is.
        if value and (name == "GLIBC_TUNABLES" or name.startswith("MALLOC_")):
            variables[name] = value
    settings = shlex.join(f"{name}={value}" for name, value in variables.items())
    return {
        "command": f"{settings} python {shlex.join(sys.argv)}",
        "backend": keras.backend.backend(),
        "device": _backend.device_name(),
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), **_backend.versions()},
        "stream_version": STREAM_VERSION,
        "processor": _backend.processor_name(),
        "cpu_cores": os.cpu_count(),
    }


def known_settings(recipe, own=NO_PARTS):
    """Return the settings of a recipe that are known before its data, a dict.

    Args:
        recipe: A `Recipe`.
        own: The `OwnParts` of the run, which stand for some of its settings.
    """
    known = {
        field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)
    }
    beta = getattr(recipe.make_loss(), "beta", None)
    known |= {"beta": beta, "backend": keras.backend.backend(), "augmentation": None}
    if isinstance(recipe.augmentation, Augmentation):
        known["augmentation"] = recipe.augmentation_for(None).get_config()
    for part in own.given():
        known = {k: v for k, v in known.items() if k not in REPLACED[part]}
    # Unless they are given, these depend on the data.
    free = ("augmentation", "steps_per_epoch", "dataset")
    known = {k: v for k, v in known.items() if k not in free or v is not None}
    return known | own.describe(recipe)


def describe(recipe, parts, own=NO_PARTS):
    """Describe a recipe and its data: the content of `config.json`, a dict.

    Args:
        recipe: A `Recipe`.
        parts: Its `Parts`.
        own: The `OwnParts` among them.
    """
    splits = parts.splits
    return {
        "format": checkpoint_store.FORMAT,
        **known_settings(recipe),
        **own.describe(recipe, parts),
        "augmentation": parts.augmentation.get_config(),
        "steps_per_epoch": parts.steps_per_epoch,
        "data": splits_of_data.fingerprint(splits.pretrain),
        "labelled_data": [
            splits_of_data.fingerprint(part) for part in (splits.train, splits.test)
        ],
        **provenance(),
    }
