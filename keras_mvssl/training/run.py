"""One run of a recipe: prepare, train, finish."""

import contextlib
import dataclasses
import os
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_mvssl import distribution
from keras_mvssl import evaluation
from keras_mvssl import report
from keras_mvssl._internal import files
from keras_mvssl._internal import progress
from keras_mvssl._internal.output import output_may_fail
from keras_mvssl.callbacks.interrupted import Interrupted
from keras_mvssl.callbacks.settled import Settled
from keras_mvssl.data import Splits
from keras_mvssl.models.copies import with_open_sizes
from keras_mvssl.report import diagnostics
from keras_mvssl.training import results
from keras_mvssl.training import whole
from keras_mvssl.training.baselines import FILE
from keras_mvssl.training.baselines import Baselines
from keras_mvssl.training.baselines import names_of_probes
from keras_mvssl.training.build import Parts
from keras_mvssl.training.build import build
from keras_mvssl.training.clock import Clock
from keras_mvssl.training.commit import commit
from keras_mvssl.training.fit import fit
from keras_mvssl.training.keras_settings import keras_settings
from keras_mvssl.training.own_parts import NO_PARTS
from keras_mvssl.training.own_parts import OwnParts
from keras_mvssl.training.provenance import describe
from keras_mvssl.training.provenance import known_settings
from keras_mvssl.training.recipe import Recipe
from keras_mvssl.training.resume import Resume
from keras_mvssl.training.stopping import stop_outside_of_training
from keras_mvssl.training.watchers import Watchers
from keras_mvssl.training.watchers import make_watchers
from keras_mvssl.training.workdir import Workdir
from keras_mvssl.training.workdir import open_workdir


@output_may_fail()
@stop_outside_of_training()
@keras_settings()
def run(
    recipe: Recipe,
    workdir: str | os.PathLike,
    resume: Resume = "auto",
    *,
    encoder: keras.Model | Callable | None = None,
    loss: keras.losses.Loss | None = None,
    views: Any = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    data: np.ndarray | Splits | None = None,
) -> dict[str, Any]:
    """Pretrain and probe, and leave everything in one folder.

    A run that was interrupted, in whatever way, goes on when it is started again with
    the same settings and `workdir`, and ends with the same weights, to the last bit
    where the backend computes the same twice. A complete one is not repeated, but its
    files that have changed are. Keras' global settings are its defaults meanwhile.

    Args:
        recipe: A `Recipe`.
        workdir: Folder for the run: new, empty, or of this run. On several machines,
            one that all of them see. It receives `config.json`, `metrics.csv`,
            `results.json`, `report.html`, `encoder.keras`, `checkpoint/`,
            `diagnostics.npz`, `views.png` and `tensorboard/`.
        resume: `"auto"` goes on with the run in `workdir` or begins a new one,
            `"never"` wants a new or empty folder, `"must"` a run to go on with.
        encoder: A `keras.Model` from images to pooled features, of which a copy is
            trained, or a function of the shape of a view `(h, w, C)` that makes one,
            in place of `backbone`. A function is called after the seed is set, on the
            devices of the run.
        loss: A `keras.losses.Loss` on projections `(B, V, D)`, in place of `loss`.
        views: `RandomViews` or `KerasCVViews`, or a function of the shape of an image
            that makes one, in place of `views`, `augment` and `augmentation`.
        callbacks: Keras callbacks, which see the accuracies of the probes; what they
            add to the logs is in `metrics.csv` and TensorBoard.
        data: An array of images `(N, H, W, C)` in [0, 255], or `data.Splits`, in place
            of `dataset`. All parts are given again where a run goes on.

    Returns:
        The contents of `results.json`, a dict. `results["probe"]` holds the accuracy
        of a linear probe on raw `pixels` (at 32x32 at most), on the encoder with
        random weights (`random_init`), and at the end (`final`; `final_16_views` by
        `evaluation.probe_16_views`); None without labels.

    Raises:
        ValueError: Before any training, for settings or data that do not fit, and for
            a folder of other files, of another run, of a run under way, of one whose
            checkpoints are all damaged, or with links; and for `gs://...`.
        OSError: At the end, for an encoder or results that cannot be written.
        training.Interrupted: At SIGTERM, SIGINT or SIGHUP, with the step saved.
        callbacks.DivergenceError: For a loss or weights that are not finite.

    Example:
    ```python
    recipe = keras_mvssl.training.Recipe(dataset="shapes", backbone="tiny", epochs=5)
    results = keras_mvssl.training.run(recipe, "runs/first")
    results["probe"]["final"]
    ```

    With parts of one's own:

    ```python
    recipe = keras_mvssl.training.Recipe(epochs=5, batch_size=64)
    keras_mvssl.training.run(recipe, "runs/own", encoder=encoder, data=images)
    ```
    """
    commit()  # The commit may have changed when the run ends.
    recipe.check()
    own = OwnParts(encoder, loss, views, tuple(callbacks), data)
    own.check(recipe)
    recipe = own.with_views(recipe)
    distribution.data_parallel(recipe.devices)
    distribution.keep_freed_memory()
    with open_workdir(workdir, resume, known_settings(recipe, own)) as opened:
        if opened.is_complete:
            print(f"This run is complete: {opened.path / whole.REPORT}")
            if own.not_compared():
                print(f"Not compared with it: {', '.join(own.not_compared())}")
            return files.read_json(opened.path / "results.json")
        with _tell_how_to_go_on(opened.path):
            return finish(train(prepare(recipe, opened, own)))


@dataclasses.dataclass
class Run:
    """The data, model, callbacks and folder of a run that is under way.

    Attributes:
        workdir: Its `Workdir`.
        config: Content of its `config.json`.
        parts: The `Parts` of its recipe.
        watchers: Its `Watchers`.
        probe: Accuracies of its probes, by name; the final one comes last.
        clock: Its `Clock`.
        bad_images: The number of images that were skipped.
    """

    workdir: Workdir
    config: dict
    parts: Parts
    watchers: Watchers
    probe: dict
    clock: Clock
    bad_images: int = 0


def prepare(recipe, workdir, own=NO_PARTS):
    """Build all objects of a run, probe its baselines and claim its workdir."""
    keras.utils.set_random_seed(recipe.seed)
    clock = Clock()
    with clock.part("data and model"):
        parts = build(recipe, own=own)
    recipe = own.with_views(recipe, parts.make_views or parts.model.views)
    config = describe(recipe, parts, own)
    workdir.refuse_other_settings(config)
    if workdir.config is not None and own.not_compared(parts):
        print(f"Not compared with the run so far: {', '.join(own.not_compared(parts))}")
    watchers = make_watchers(recipe, parts, workdir, clock, own.callbacks)
    results.announce(config, parts.splits, parts.model)
    baselines = Baselines(workdir.path, config)
    with clock.part("probes of the baselines"):
        probe = baselines.measure(parts.model.encoder, parts.splits)
    workdir.claim()
    if workdir.is_new:
        with files.warn_on_error(workdir.output / FILE):
            baselines.write(workdir.output, probe)
    if workdir.is_new or workdir.config["epochs"] != config["epochs"]:
        files.write_json(workdir.output / "config.json", config)
    return Run(workdir, config, parts, watchers, probe, clock)


def train(run):
    """Train to the end of the last epoch, from where the run was left."""
    try:
        with run.clock.part("probes and logs"):
            fit(
                run.parts.model,
                run.parts.make_stream,
                run.config["epochs"],
                run.parts.steps_per_epoch,
                run.watchers.checkpoint,
                run.watchers.callbacks,
                verbose=progress.verbosity(),
            )
    finally:
        output = run.workdir.output
        run.bad_images = results.list_bad_images(run.parts.splits, output)
    seconds = run.watchers.throughput.seconds
    run.clock.move("probes and logs", "training", seconds)
    return run


def finish(run):
    """Save the encoder, the diagnostics, the results and the report of a run.

    An encoder whose batch statistics lag has those of the training images meanwhile.

    Raises:
        OSError: Where the encoder or the results cannot be written, twice.
    """
    splits = run.parts.splits
    images = splits.pretrain if splits.train is None else splits.train
    with Settled().encoder(run.parts.model, images):
        return _finish(run)


def _finish(run):
    output, encoder = run.workdir.output, run.parts.model.encoder
    splits, made = run.parts.splits, whole.Writes()
    made.write(output / "encoder.keras", with_open_sizes(encoder).save)
    with run.clock.part("diagnostics"):
        found = distribution.once(lambda: _diagnose(encoder, splits))
        path = output / "diagnostics.npz"
        with files.warn_on_error(path), files.atomic_write(path) as unfinished:
            np.savez_compressed(unfinished, **found)
    run.probe["final"] = run.watchers.metrics.rows[-1].get("probe_accuracy")
    with run.clock.part("probe of 16 views"):
        run.probe["final_16_views"] = distribution.once(
            lambda: _probe_16_views(encoder, splits, run.parts.augmentation)
        )
    found = {
        **results.collect(
            run.config, run.parts.model, run.watchers, run.probe, run.clock
        ),
        "class_names": list(splits.class_names),
        "bad_images": run.bad_images,
    }
    made.write_json(output / "results.json", found)
    made.try_again()
    path = output / whole.REPORT
    with files.warn_on_error(path):
        report.write([output], path)
    with files.warn_on_error(output / whole.FILE):
        whole.write_checksums(output)
    results.summarize(found, output, names_of_probes(run.config))
    return found


def _diagnose(encoder, splits):
    if splits.train is None:
        return diagnostics.collect_unlabelled(encoder, splits.pretrain)
    return diagnostics.collect(encoder, splits.train, splits.test)


def _probe_16_views(encoder, splits, augmentation):
    if splits.train is None:
        return None
    print("Linear probe on 16 views, as in the paper", end=": ", flush=True)
    found = evaluation.probe_16_views(
        encoder, splits.train, splits.test, augmentation, batch_size=32
    )
    print(f"{found.accuracy:.1%}")
    return found.accuracy


@contextlib.contextmanager
def _tell_how_to_go_on(workdir):
    try:
        yield
    except Interrupted as stop:
        how = f"start the same again with --workdir={workdir}"
        print(f"{stop}. To go on, {how}", flush=True)
        raise
