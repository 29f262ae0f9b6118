"""What a run says of itself, in files and on the screen."""

import contextlib
import dataclasses
import datetime
import functools
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
import time
import zlib
from typing import Any

import keras
import numpy as np

from keras_mvssl import checkpoints
from keras_mvssl import distribution
from keras_mvssl.files import whole

# What the probes of a run are called where they are shown.
PROBES = {
    "pixels": "raw pixels",
    "random_init": "random weights",
    "final": "pretrained",
}


def results(recipe, model):
    """Settings that belong to a result; None for those that the loss has not."""
    has_beta = hasattr(model.loss, "resolve_beta")
    return {
        "recipe": pathlib.Path(sys.argv[0]).stem,
        "dataset": recipe.dataset,
        "views": recipe.views,
        "fraction": recipe.fraction,
        "loss": recipe.loss,
        "beta": model.loss.resolve_beta(recipe.projector_dim) if has_beta else None,
        "pairing": getattr(model.loss, "pairing", None),
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
        field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)
    }
    beta = getattr(recipe.make_loss(), "beta", None)
    known |= {"beta": beta, "backend": keras.backend.backend()}
    if recipe.augmentation is not None:
        known["augmentation"] = recipe.augmentation_for(None).get_config()
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
        "data": identity(splits.pretrain),
        "labelled_data": [identity(part) for part in (splits.train, splits.test)],
        **provenance(),
    }


def identity(data):
    """What tells data from others: count, shape, and checksums of some where known."""
    if data is None:
        return None
    if hasattr(data, "element_spec"):
        spec = data.element_spec
        shape = (spec[0] if isinstance(spec, tuple) else spec).shape
        return {"images": int(data.cardinality()), "shape": list(shape)}
    images, *labels = data if isinstance(data, tuple) else (data,)
    # Some hundreds of all, so that it takes no time.
    some = [array[:: max(1, len(array) // 256)] for array in (images, *labels)]
    checksums = [zlib.crc32(np.ascontiguousarray(x).tobytes()) for x in some]
    return {
        "images": len(images),
        "shape": list(images.shape[1:]),
        "crc32": checksums,
    }


@functools.cache
def commit():
    """The commit of the package, as it is when this is first called."""
    here = pathlib.Path(__file__).parent

    def git(*command):
        command = ["git", "-C", str(here), *command]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    try:
        found = git("rev-parse", "HEAD")
        scripts = here.parent / "recipes/*.py"
        changed = found and git("status", "--porcelain", "-uno", "--", here, scripts)
    except OSError:  # There is no git.
        return None
    return f"{found}+changes" if changed else found or None


def provenance() -> dict[str, Any]:
    """What a number must be quoted with: command, commit, date, versions, hardware.

    Returns:
        A dict that JSON can hold; `commit`, that of the package when the process
        began, is None outside a git repository, and ends with `+changes` where files
        differ from it.

    Example:

    ```python
    keras_mvssl.training.provenance()["versions"]["keras"]
    ```
    """
    variables = {"KERAS_BACKEND": keras.backend.backend()}
    for name, value in os.environ.items():  # What changes how fast a CPU is.
        if value and (name == "GLIBC_TUNABLES" or name.startswith("MALLOC_")):
            variables[name] = value
    settings = shlex.join(f"{name}={value}" for name, value in variables.items())
    return {
        "command": f"{settings} python {shlex.join(sys.argv)}",
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), **distribution.versions()},
        "cpu_cores": os.cpu_count(),
    }


def describe(recipe, splits, model, steps):
    """Prints what a run is going to do."""
    backend, device = keras.backend.backend(), distribution.device_name()
    print(
        f"{splits.name}: {recipe.views} views, batches of {recipe.batch_size} images, "
        f"{recipe.epochs} epochs of {steps} steps; {recipe.backbone} with "
        f"{model.encoder.count_params():,} parameters, projector of "
        f"{recipe.projector_dim}; Keras on {backend}, {device}"
    )


def list_bad_images(splits, folder):
    """Adds to the list of this and earlier starts, and returns how many there are."""
    path = folder / "bad_images.txt"
    found = [x.encode("utf-8", "backslashreplace").decode() for x in splits.bad_images]
    if path.exists():
        found = [*path.read_text(encoding="utf-8").splitlines(), *found]
    found = list(dict.fromkeys(found))
    if found:
        with whole(path) as unfinished:
            unfinished.write_text("\n".join(found) + "\n", encoding="utf-8")
    return len(found)


def summarize(results, workdir):
    """Prints what a run has found."""
    if results["probe"]["final"] is not None:
        print("Linear probe, accuracy on the test images:")
        for key, name in PROBES.items():
            print(f"  {name:16}{results['probe'][key]:7.1%}")
        if results["probe"]["final"] <= results["probe"]["random_init"]:
            print("No better than random weights: too short a run, or see the views.")
    print(
        f"{results['views_seen']:,} views in {results['seconds']:.0f} s of training "
        f"({results['views_per_second']:,.0f} views/s)"
    )
    if not results["updates"]:
        print(
            "No weight changed: the run was shorter than the steps that float16's loss "
            "scale skips at first, or than those that are accumulated."
        )
    print(f"Encoder saved to {workdir / 'encoder.keras'}")
    print(f"Report: {workdir / 'report.html'}")


class Clock:
    """Adds up the seconds of the parts of a run, over all its starts."""

    def __init__(self):
        self.seconds = {}
        self._name, self._since = None, None

    @contextlib.contextmanager
    def part(self, name):
        self._name, self._since = name, time.perf_counter()
        try:
            yield
        finally:
            self._count()
            self._name = None

    def _count(self):
        if self._name is not None:
            now = time.perf_counter()
            self._add(self._name, now - self._since)
            self._since = now

    def get_state(self):
        self._count()
        return self.seconds

    def set_state(self, state):
        for name, seconds in state.items():
            self._add(name, seconds)

    def move(self, source, target, seconds):
        """Counts some seconds of one part as another's."""
        self._add(source, -seconds)
        self._add(target, seconds)

    def _add(self, name, seconds):
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 3)


def write_json(path, content):
    """Writes a dict to a file, at once or not at all."""
    with whole(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
