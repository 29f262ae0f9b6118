"""Recipes: settings, a run, and a command line for it."""

import contextlib
import dataclasses
import datetime
import os
import pathlib
import sys
import tempfile

import keras
import numpy as np
from absl import app
from absl import flags

from keras_mvssl import callbacks
from keras_mvssl import command_line
from keras_mvssl import data
from keras_mvssl import distribution
from keras_mvssl import evaluation
from keras_mvssl import parts
from keras_mvssl import progress
from keras_mvssl import records
from keras_mvssl import report
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

# Raw pixels are probed at this size at most, so that the probe stays affordable.
PIXELS = 32


def run(recipe, workdir):
    """Pretrains, probes, and leaves everything in `workdir`.

    Args:
        recipe: A `Recipe`.
        workdir: Folder for the run: new or empty. It receives `config.json`,
            `metrics.csv` (a row per epoch), `results.json`, `encoder.keras`,
            `checkpoint/model.keras` (after every epoch), `tensorboard/`, `views.png`,
            `diagnostics.npz` and, of all these, `report.html`.

    Returns:
        The contents of `results.json`, a dict. `results["probe"]` holds the accuracy
        of a linear probe on raw pixels (at 32x32 at most), on the encoder with random
        weights, and on the pretrained one; None where there are no labels.

    Raises:
        ValueError: Before any training, for settings or data that do not fit, and for
            a workdir that is not empty.

    Example:

    ```python
    results = run(Recipe(dataset="shapes", backbone="tiny", epochs=5), "runs/first")
    results["probe"]["final"]
    ```
    """
    recipe.check()
    distribution.data_parallel(recipe.devices)
    with contextlib.ExitStack() as stack:
        workdir = pathlib.Path(workdir).expanduser()
        distribution.once(
            lambda: _check_empty(workdir) if distribution.is_chief() else None
        )
        if not distribution.is_chief():
            # What other processes of the job write and print is not kept.
            workdir = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        return _run(recipe, workdir)


def _run(recipe, workdir):
    keras.utils.set_random_seed(recipe.seed)
    clock = records.Clock()
    name = recipe.dataset
    if name == "folder":
        name = f"folder:{recipe.data_dir}"
    with clock.part("data and model"):
        splits = data.load(
            name, recipe.data_dir, recipe.fraction, recipe.seed, recipe.image_size
        )
    augmentation = recipe.augmentation_for(splits.image_shape)
    if augmentation.needs_rgb and splits.image_shape[-1] != 3:
        raise ValueError(
            "Saturation, hue and grayscale need RGB images. Give the recipe an "
            "`augmentation` without them. "
            f"Received: images of shape {splits.image_shape}"
        )
    with clock.part("data and model"):
        model = parts.build_model(recipe, augmentation, splits.image_shape)
        stream = parts.make_stream(recipe, augmentation, splits.pretrain)
    steps = recipe.steps_per_epoch or stream.steps_per_epoch
    if steps is None:
        raise ValueError(
            "The number of images is not known: say how long an epoch is with "
            "`steps_per_epoch`. Received: steps_per_epoch=None"
        )
    if steps < recipe.steps_per_execution:
        raise ValueError(
            f"An epoch of {steps} steps has none of so many. "
            f"Received: steps_per_execution={recipe.steps_per_execution}"
        )
    steps -= steps % recipe.steps_per_execution
    parts.compile_model(model, recipe, steps)

    throughput = callbacks.Throughput(recipe.views * recipe.batch_size, stream)
    watchers = parts.make_callbacks(
        recipe, augmentation, splits, stream, workdir, throughput
    )
    _describe(recipe, splits, model, steps)
    with clock.part("probes of the baselines"):
        probe = distribution.once(lambda: _baselines(model, splits))
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "checkpoint").mkdir()
    records.write_json(
        workdir / "config.json", records.config(recipe, augmentation, steps)
    )
    with clock.part("probes and logs"):
        history = model.fit(
            stream,
            epochs=recipe.epochs,
            steps_per_epoch=steps,
            verbose=progress.verbosity(),
            callbacks=watchers,
        )
    clock.move("probes and logs", "training", throughput.seconds)
    model.encoder.save(workdir / "encoder.keras")
    with clock.part("diagnostics"):
        if splits.train is not None:
            found = distribution.once(
                lambda: diagnostics.collect(model.encoder, splits.train, splits.test)
            )
        else:
            (spectrum,) = (x for x in watchers if isinstance(x, callbacks.Spectrum))
            found = {"eigenvalues": spectrum.latest.eigenvalues}
        np.savez_compressed(workdir / "diagnostics.npz", **found)
    probe["final"] = history.history.get("probe_accuracy", [None])[-1]
    results = {
        **records.results(recipe, model),
        "steps": throughput.views_seen // (recipe.views * recipe.batch_size),
        "updates": int(distribution.value_of(model.optimizer.iterations)),
        "views_seen": throughput.views_seen,
        "seconds": round(throughput.seconds, 3),
        "views_per_second": round(throughput.views_seen / throughput.seconds, 1),
        "loss_final": history.history["loss"][-1],
        "peak_memory": distribution.peak_memory(),
        "probe": probe,
        "class_names": list(splits.class_names),
        "time": clock.seconds,
        **records.provenance(),
    }
    records.write_json(workdir / "results.json", results)
    report.write([workdir], workdir / "report.html")
    _summarize(results, workdir)
    return results


def main(recipe, table=None):
    """The command line of a recipe: flags for its settings, then `run`.

    Args:
        recipe: A `Recipe`, whose values are the defaults.
        table: Settings that go with numbers of views, for `tuned`. Those given on the
            command line win over them.
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
        },
    )
    workdir = flags.DEFINE_string(
        "workdir",
        None,
        "Folder for the run, new or empty. A new one below runs/ if not given.",
        module_name=sys.argv[0],
    )

    def start(argv):
        if argv[1:]:
            raise app.UsageError(f"These are not flags: {argv[1:]}")
        settings = {name: flags.FLAGS[name].value for name in names}
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        title = pathlib.Path(sys.argv[0]).stem
        given = {name: value for name, value in settings.items() if value is not None}
        new = tuned(dataclasses.replace(recipe, **given), table or {}, keep=given)
        run(new, workdir.value or f"runs/{title}-{stamp}")

    app.run(start)


def _check_empty(workdir):
    if workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        raise ValueError(
            "`workdir` must be a new or an empty folder: this one holds another run or "
            f"other files. Received: workdir={workdir}"
        )


def _baselines(model, splits):
    if splits.train is None:
        print("There are no labels, so there are no probes.")
        return {"pixels": None, "random_init": None}
    images = keras.Input(splits.image_shape)
    x = keras.layers.Rescaling(1 / 255)(images)
    if max(splits.image_shape[:2]) > PIXELS:
        x = keras.layers.Resizing(
            PIXELS, PIXELS, antialias=True, data_format="channels_last"
        )(x)
    pixels = keras.Model(images, keras.layers.Flatten()(x))
    accuracies = {}
    for name, encoder in (("pixels", pixels), ("random_init", model.encoder)):
        print(f"Linear probe on {name.replace('_', ' ')}", end=": ", flush=True)
        train, test = (
            evaluation.extract_features(encoder, part)
            for part in (splits.train, splits.test)
        )
        accuracies[name] = evaluation.linear_probe(train, test).accuracy
        print(f"{accuracies[name]:.1%}")
    return accuracies


def _describe(recipe, splits, model, steps):
    backend, device = keras.backend.backend(), distribution.device_name()
    print(
        f"{splits.name}: {recipe.views} views, batches of {recipe.batch_size} images, "
        f"{recipe.epochs} epochs of {steps} steps; {recipe.backbone} with "
        f"{model.encoder.count_params():,} parameters, projector of "
        f"{recipe.projector_dim}; Keras on {backend}, {device}"
    )


def _summarize(results, workdir):
    if results["probe"]["final"] is not None:
        print("Linear probe, accuracy on the test images:")
        for name in ("pixels", "random_init", "final"):
            print(f"  {name.replace('_', ' '):12}{results['probe'][name]:7.1%}")
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
