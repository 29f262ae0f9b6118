"""Recipes: settings, a run, and a command line for it."""

import contextlib
import dataclasses
import datetime
import functools
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from absl import app
from absl import flags

from keras_mvssl import baselines
from keras_mvssl import command_line
from keras_mvssl import data
from keras_mvssl import distribution
from keras_mvssl import files
from keras_mvssl import fitting
from keras_mvssl import parts
from keras_mvssl import progress
from keras_mvssl import records
from keras_mvssl import report
from keras_mvssl import workdir as workdirs
from keras_mvssl.data.images import POLICIES
from keras_mvssl.recipe import BACKBONES
from keras_mvssl.recipe import ENGINES
from keras_mvssl.recipe import LOSSES
from keras_mvssl.recipe import OPTIMIZERS
from keras_mvssl.recipe import PAIRINGS
from keras_mvssl.recipe import PRECISIONS
from keras_mvssl.recipe import Recipe
from keras_mvssl.recipe import tuned
from keras_mvssl.records import provenance
from keras_mvssl.report import diagnostics

__all__ = ["Recipe", "main", "provenance", "run", "tuned"]


def run(
    recipe: Recipe, workdir: str | os.PathLike, resume: str = "auto"
) -> dict[str, Any]:
    """Pretrains, probes, and leaves everything in `workdir`.

    A run that was interrupted, in whatever way, goes on when it is started again with
    the same settings and `workdir`, and ends as if it had not been: with the same
    weights, to the last bit where the backend computes the same twice. One that is
    complete is not repeated. It calls `distribution.keep_freed_memory`.

    Args:
        recipe: A `Recipe`.
        workdir: Folder for the run: new, empty, or of this run. It receives
            `config.json`, `metrics.csv` (a row per epoch), `results.json`,
            `encoder.keras`, `checkpoint/`, `tensorboard/`, `views.png`,
            `diagnostics.npz` and, of all these, `report.html`. On several machines, a
            folder that all of them see.
        resume: `"auto"` goes on with the run in `workdir` or begins a new one,
            `"never"` begins a new one in a new or empty folder, `"must"` goes on with
            the one that there is.

    Returns:
        The contents of `results.json`, a dict. `results["probe"]` holds the accuracy
        of a linear probe on raw pixels (at 32x32 at most), on the encoder with random
        weights, and on the pretrained one; None where there are no labels.

    Raises:
        ValueError: Before any training, for settings or data that do not fit, and for
            a workdir that holds other files, a run with other settings (with the
            differences), or one that is under way.
        fitting.Interrupted: At SIGTERM or SIGINT, with the step saved.
        callbacks.DivergenceError: For a loss or weights that are not finite.

    Example:

    ```python
    recipe = keras_mvssl.training.Recipe(dataset="shapes", backbone="tiny", epochs=5)
    results = keras_mvssl.training.run(recipe, "runs/first")
    results["probe"]["final"]
    ```
    """
    records.commit()  # It may be another when the run ends.
    recipe.check()
    distribution.data_parallel(recipe.devices)
    distribution.keep_freed_memory()
    home = pathlib.Path(workdir).expanduser()
    is_chief = distribution.is_chief()
    known = distribution.once(lambda: workdirs.find(home, resume))
    distribution.highest(0)  # Nothing is written before all have looked.
    if known is not None:
        workdirs.refuse_other_settings(known, records.settings(recipe), home)
        if (home / "results.json").exists() and (home / "report.html").exists():
            print(f"This run is complete: {home / 'report.html'}")
            return json.loads((home / "results.json").read_text(encoding="utf-8"))
    with contextlib.ExitStack() as stack:
        own = home
        if not is_chief:
            # What other processes of the job write and print is not kept.
            own = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))

        def claim():
            distribution.once(lambda: is_chief and _claim(stack, home, known))

        if known is not None:
            claim()
        try:
            with fitting.on_signals(_stop):
                return _run(recipe, home, own, known, claim)
        except fitting.Interrupted as stop:
            where = "outside of training"
            if stop.step is not None:
                saved = "saved" if stop.saved else "NOT saved"
                where = f"after step {stop.step}, which is {saved}"
            print(
                f"Stopped by {stop.reason} {where}. To go on, start the same again "
                f"with --workdir={home}"
            )
            raise


def _stop(reason):
    raise fitting.Interrupted(reason)


def _claim(stack, home, known):
    stack.enter_context(workdirs.lock(home))
    if known is None and (home / "config.json").exists():
        raise ValueError(
            f"Another run has begun in this folder meanwhile. Received: workdir={home}"
        )


def _run(recipe, home, own, known, claim):
    """`home` is the folder of the run; `own`, that which this process writes to."""
    keras.utils.set_random_seed(recipe.seed)
    clock = records.Clock()
    name = recipe.dataset
    if name == "folder":
        name = f"folder:{recipe.data_dir}"
    elif recipe.is_of_npz:
        name = f"npz:{recipe.data_dir}"
    with clock.part("data and model"):
        splits = data.load(
            name,
            recipe.data_dir,
            recipe.fraction,
            recipe.seed,
            recipe.image_size,
            recipe.on_bad_image,
        )
    augmentation = recipe.augmentation_for(splits.image_shape)
    if augmentation.needs_rgb and splits.image_shape[-1] != 3:
        raise ValueError(
            "Saturation, hue and grayscale need RGB images. Give the recipe an "
            "`augmentation` without them. "
            f"Received: images of shape {splits.image_shape}"
        )

    @functools.lru_cache(maxsize=1)
    def make_stream(step):
        return parts.make_stream(recipe, augmentation, splits.pretrain, step)

    with clock.part("data and model"):
        model = parts.build_model(recipe, augmentation, splits.image_shape)
        steps = parts.steps_per_epoch(recipe, make_stream(0).steps_per_epoch)
    parts.compile_model(model, recipe, steps)
    config = records.config(recipe, augmentation, steps, splits)
    if known is not None:
        workdirs.refuse_other_settings(known, config, home)
    watchers = parts.make_watchers(
        recipe, augmentation, splits, make_stream(0), home, own, clock
    )
    records.describe(recipe, splits, model, steps)
    with clock.part("probes of the baselines"):
        of = baselines.describe(config)
        found = baselines.find(home, of)
        probe = distribution.once(
            lambda: baselines.measure(model.encoder, splits, found)
        )
    if known is None:
        claim()
    if known is None or own != home:
        baselines.write(own, of, probe)
        records.write_json(own / "config.json", config)
    try:
        with clock.part("probes and logs"):
            fitting.fit(
                model,
                make_stream,
                recipe.epochs,
                steps,
                watchers.checkpoint,
                watchers.callbacks,
                verbose=progress.verbosity(),
            )
    finally:
        bad_images = records.list_bad_images(splits, own)
    throughput, rows = watchers.throughput, watchers.metrics.rows
    clock.move("probes and logs", "training", throughput.seconds)
    with files.whole(own / "encoder.keras") as path:
        model.encoder.save(path)
    with clock.part("diagnostics"):
        found = distribution.once(lambda: _diagnostics(model.encoder, splits))
        with files.whole(own / "diagnostics.npz") as path:
            np.savez_compressed(path, **found)
    probe["final"] = rows[-1].get("probe_accuracy")
    results = {
        **records.results(recipe, model),
        "steps": throughput.views_seen // (recipe.views * recipe.batch_size),
        "updates": int(distribution.value_of(model.optimizer.iterations)),
        "views_seen": throughput.views_seen,
        "seconds": round(throughput.seconds, 3),
        "views_per_second": round(throughput.views_seen / throughput.seconds, 1),
        "loss_final": rows[-1]["loss"],
        "peak_memory": distribution.peak_memory(),
        "probe": probe,
        "class_names": list(splits.class_names),
        "bad_images": bad_images,
        "time": clock.seconds,
        **records.provenance(),
    }
    records.write_json(own / "results.json", results)
    with files.whole(own / "report.html") as path:
        report.write([own], path)
    records.summarize(results, own)
    return results


def main(recipe: Recipe, table: Mapping[int, Mapping[str, Any]] | None = None) -> None:
    """The command line of a recipe: flags for its settings, then `run`.

    Args:
        recipe: A `Recipe`, whose values are the defaults.
        table: Settings that go with numbers of views, for `tuned`. Those given on the
            command line win over them.

    Example:

    ```python
    RECIPE = keras_mvssl.training.Recipe(dataset="shapes", backbone="tiny")
    if __name__ == "__main__":
        keras_mvssl.training.main(RECIPE)
    ```
    """
    names = command_line.define_flags(
        recipe,
        leave_out=("dataset", "augmentation", "stem"),
        choices={
            "backbone": sorted(BACKBONES),
            "loss": sorted(LOSSES),
            "pairing": PAIRINGS,
            "augment": ENGINES,
            "precision": PRECISIONS,
            "optimizer": sorted(OPTIMIZERS),
            "on_bad_image": POLICIES,
        },
    )
    workdir = flags.DEFINE_string(
        "workdir",
        None,
        "Folder for the run: new, empty, or of a run to continue. A new one below "
        "runs/ if not given.",
        module_name=sys.argv[0],
    )
    resume = flags.DEFINE_enum(
        "resume",
        "auto",
        workdirs.RESUME,
        "Whether to go on with the run in --workdir: if there is one, never (it must "
        "be new or empty), or must.",
        module_name=sys.argv[0],
    )

    def start(argv):
        if argv[1:]:
            raise app.UsageError(f"These are not flags: {argv[1:]}")
        settings = {name: flags.FLAGS[name].value for name in names}
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        title = pathlib.Path(sys.argv[0]).stem
        given = {name: value for name, value in settings.items() if value is not None}
        new = dataclasses.replace(recipe, **given)
        new.check()
        new = tuned(new, table or {}, keep=given)
        run(new, workdir.value or f"runs/{title}-{stamp}", resume.value)

    app.run(start)


def _diagnostics(encoder, splits):
    if splits.train is None:
        return diagnostics.collect_unlabelled(encoder, splits.pretrain)
    return diagnostics.collect(encoder, splits.train, splits.test)
