"""What a run writes down of itself."""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
import time
import zlib

import keras
import numpy as np

from keras_mvssl import checkpoints
from keras_mvssl import distribution


def results(recipe, model):
    """Settings that belong to a result."""
    return {
        "recipe": pathlib.Path(sys.argv[0]).stem,
        "dataset": recipe.dataset,
        "views": recipe.views,
        "fraction": recipe.fraction,
        "loss": model.loss.name,
        "beta": model.loss.resolve_beta(recipe.projector_dim),
        "pairing": recipe.pairing,
        "projector_dim": recipe.projector_dim,
        "backbone": recipe.backbone,
        "batch_size": recipe.batch_size,
        "devices": distribution.replicas(),
        "augment": recipe.augment,
        "precision": recipe.precision,
        "optimizer": recipe.optimizer,
        "seed": recipe.seed,
        "backend": keras.backend.backend(),
        "device": distribution.device_name(),
        "epochs": recipe.epochs,
    }


def settings(recipe):
    """The settings of a run that are known before its data."""
    known = {
        field.name: getattr(recipe, field.name)
        for field in dataclasses.fields(recipe)
        if field.name != "betas"
    }
    known |= {"beta": recipe.loss().beta, "backend": keras.backend.backend()}
    if recipe.augmentation is not None:
        known["augmentation"] = recipe.augmentation.get_config()
    # Those that are not given depend on the data.
    free = ("augmentation", "steps_per_epoch")
    return {k: v for k, v in known.items() if k not in free or v is not None}


def config(recipe, augmentation, steps, splits):
    """All settings of a run, and what its data are."""
    return {
        "format": checkpoints.FORMAT,
        **settings(recipe),
        "augmentation": augmentation.get_config(),
        "steps_per_epoch": steps,
        "data": _identity(splits.pretrain),
        **provenance(),
    }


def _identity(images):
    """What tells some images from others: count, shape and pixels, where known."""
    if hasattr(images, "element_spec"):
        spec = images.element_spec
        return {"images": int(images.cardinality()), "shape": list(spec.shape)}
    # Some hundreds of all, so that it takes no time.
    some = np.ascontiguousarray(images[:: max(1, len(images) // 256)])
    return {
        "images": len(images),
        "shape": list(images.shape[1:]),
        "crc32": zlib.crc32(some.tobytes()),
    }


def provenance():
    """What a number must be quoted with: command, commit, date, versions, hardware.

    Returns:
        A dict that JSON can hold; `commit` is None outside a git repository.

    Example:

    ```python
    keras_mvssl.training.provenance()["versions"]["keras"]
    ```
    """
    git = ["git", "-C", pathlib.Path(__file__).parent, "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    except OSError:  # There is no git.
        commit = ""
    backend = keras.backend.backend()
    return {
        "command": f"KERAS_BACKEND={backend} python {shlex.join(sys.argv)}",
        "commit": commit or None,
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), **distribution.versions()},
        "cpu_cores": os.cpu_count(),
    }


class Clock:
    """Adds up the seconds of the parts of a run."""

    def __init__(self):
        self.seconds = {}

    @contextlib.contextmanager
    def part(self, name):
        start = time.perf_counter()
        try:
            yield
        finally:
            self._add(name, time.perf_counter() - start)

    def get_state(self):
        return self.seconds

    def set_state(self, state):
        self.seconds = dict(state)

    def move(self, source, target, seconds):
        """Counts some seconds of one part as another's."""
        self._add(source, -seconds)
        self._add(target, seconds)

    def _add(self, name, seconds):
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 3)


def write_json(path, content):
    """Writes a dict to a file, at once or not at all."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
