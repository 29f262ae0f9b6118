"""Recipes: settings, a run, and a command line for it."""

import csv
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from typing import Any

import keras
from absl import app
from absl import flags

from keras_mvssl import callbacks
from keras_mvssl import data
from keras_mvssl import distribution
from keras_mvssl import evaluation
from keras_mvssl import losses
from keras_mvssl import models
from keras_mvssl import progress
from keras_mvssl.views import Augmentation

BACKBONES = {
    "tiny": models.TinyResNet,
    "resnet18": models.ResNet18,
    "resnet50": models.ResNet50,
}
# Raw pixels are probed at this size at most, so that the probe stays affordable.
PIXELS = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a run. Each is a flag of the command line, but for three.

    Attributes:
        dataset: Name for `data.load`; `"folder"` stands for the folder `data_dir`.
        augmentation: What may happen to a view. Defaults to `Augmentation()` at the
            size of the images. No flag.
        by_views: Settings that go with a number of views, `{views: {name: value}}`,
            over those of the recipe itself. No flag.
        image_size: Pixels that images are resized to when loaded; None keeps theirs.
        views: Views of each image.
        fraction: Share of the images to pretrain on.
        backbone: `"tiny"`, `"resnet18"` or `"resnet50"`.
        stem: Stem of the backbone, `"cifar"` or `"imagenet"`. No flag.
        projector_dim: Features D of the projector.
        beta: Weight of the redundancy, or `"auto"`.
        pairing: `"mean"` or `"all"`, of `losses.BarlowTwins`.
        epochs: Passes over the images.
        steps_per_epoch: Steps of an epoch; None for a whole pass.
        batch_size: Images per step.
        learning_rate: Of AdamW, at its peak; cosine decay to 0 follows.
        weight_decay: Of AdamW, not on biases and batch normalisation.
        warmup_epochs: Epochs over which the learning rate rises from 0.
        probe_every: Epochs between probes.
        seed: Seed of weights, order, views and subsets.
        data_dir: Folder of the data.
        workers: Chunks augmented in parallel; None lets tf.data choose.
    """

    dataset: str
    augmentation: Augmentation | None = None
    by_views: Mapping[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    image_size: int | None = None
    views: int = 4
    fraction: float = 1.0
    backbone: str = "resnet18"
    stem: str = "cifar"
    projector_dim: int = 256
    beta: float | str = "auto"
    pairing: str = "mean"
    epochs: int = 100
    steps_per_epoch: int | None = None
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    warmup_epochs: float = 1.0
    probe_every: int = 1
    seed: int = 0
    data_dir: str | None = None
    workers: int | None = None

    def with_settings(self, **settings):
        """The recipe for `settings["views"]` views, with the other settings on top.

        Args:
            **settings: Values for attributes; those that are None are left out.
        """
        settings = {k: v for k, v in settings.items() if v is not None}
        views = settings.get("views", self.views)
        return dataclasses.replace(self, **{**self.by_views.get(views, {}), **settings})


def run(recipe, workdir):
    """Pretrains, probes, and leaves everything in `workdir`.

    Args:
        recipe: A `Recipe`.
        workdir: Folder for the run: new or empty. It receives `config.json`,
            `metrics.csv` (a row per epoch), `results.json`, `encoder.keras`,
            `checkpoint/model.keras` (after every epoch) and `tensorboard/`.

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
    workdir = pathlib.Path(workdir)
    _check(recipe, workdir)
    keras.utils.set_random_seed(recipe.seed)
    name = recipe.dataset
    if name == "folder":
        name = f"folder:{recipe.data_dir}"
    splits = data.load(
        name, recipe.data_dir, recipe.fraction, recipe.seed, recipe.image_size
    )
    augmentation = recipe.augmentation or Augmentation(size=splits.image_shape[:2])
    model = build_model(recipe, augmentation.size, splits.image_shape)
    from keras_mvssl.views import KerasCVViews

    views = KerasCVViews(augmentation, recipe.views, seed=recipe.seed)
    stream = data.multiview(
        splits.pretrain,
        views,
        recipe.batch_size,
        seed=recipe.seed,
        workers=recipe.workers,
    )
    steps = recipe.steps_per_epoch or stream.steps_per_epoch
    if steps is None:
        raise ValueError(
            "The number of images is not known: say how long an epoch is with "
            "`steps_per_epoch`. Received: steps_per_epoch=None"
        )
    compile_model(model, recipe, steps)

    workdir.mkdir(parents=True, exist_ok=True)
    _write_json(workdir / "config.json", _config(recipe, augmentation, steps))
    _describe(recipe, splits, model, steps)
    probe = _baselines(model, splits)
    throughput = Throughput(recipe.views * recipe.batch_size)
    history = model.fit(
        stream,
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        verbose=progress.verbosity(),
        callbacks=[
            throughput,
            *_probes(recipe, splits),
            MetricsCSV(workdir / "metrics.csv"),
            callbacks.TensorBoard(workdir / "tensorboard"),
            keras.callbacks.ModelCheckpoint(
                _folder(workdir / "checkpoint/model.keras")
            ),
        ],
    )
    model.encoder.save(workdir / "encoder.keras")
    probe["final"] = history.history.get("probe_accuracy", [None])[-1]
    results = {
        **_results(recipe, model),
        "steps": steps * recipe.epochs,
        "views_seen": throughput.views_seen,
        "seconds": round(throughput.seconds, 3),
        "views_per_second": round(throughput.views_seen / throughput.seconds, 1),
        "loss_final": history.history["loss"][-1],
        "peak_memory": distribution.peak_memory(),
        "probe": probe,
        **_provenance(),
    }
    _write_json(workdir / "results.json", results)
    _summarize(results, workdir)
    return results


def main(recipe):
    """The command line of a recipe: flags for its settings, then `run`.

    Args:
        recipe: A `Recipe`, whose values are the defaults.
    """
    names = _define_flags(recipe)
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
        run(recipe.with_settings(**settings), workdir.value or f"runs/{title}-{stamp}")

    app.run(start)


def build_model(recipe, view_size, image_shape):
    """The untrained model of a recipe."""
    size = view_size if tuple(view_size) == image_shape[:2] else (None, None)
    make = BACKBONES[recipe.backbone]
    stem = {} if recipe.backbone == "tiny" else {"stem": recipe.stem}
    encoder = make((*size, image_shape[-1]), **stem)
    projector = models.Projector(encoder.output_shape[-1], recipe.projector_dim)
    return models.MultiViewModel(encoder, projector)


def compile_model(model, recipe, steps_per_epoch):
    """Compiles with the loss of a recipe and AdamW, warm-up and cosine decay."""
    total = steps_per_epoch * recipe.epochs
    warmup = min(round(steps_per_epoch * recipe.warmup_epochs), total - 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else recipe.learning_rate,
        decay_steps=total - warmup,
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = losses.BarlowTwins(beta=recipe.beta, pairing=recipe.pairing)
    model.compile(optimizer=optimizer, loss=loss)


class Throughput(keras.callbacks.Callback):
    """Adds views seen, seconds, views per second and learning rate to the logs.

    Seconds are those of training steps and of waiting for data; probes and other work
    at the end of epochs are left out.
    """

    def __init__(self, views_per_step):
        super().__init__()
        self.views_per_step = views_per_step
        self.views_seen = 0
        self.seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._steps = 0
        self._start = self._end = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        self._end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds, views = self._end - self._start, self._steps * self.views_per_step
        self.seconds += seconds
        self.views_seen += views
        logs["views_seen"] = self.views_seen
        logs["seconds"] = round(self.seconds, 3)
        logs["views_per_second"] = round(views / max(seconds, 1e-9), 1)
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class MetricsCSV(keras.callbacks.Callback):
    """A row per epoch; a column of an epoch without a probe stays empty.

    Keras' CSVLogger knows only the columns of the first epoch.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, **(logs or {})})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with open(self.path, "w", newline="") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(self.rows)


def _check(recipe, workdir):
    if recipe.dataset == "folder" and not recipe.data_dir:
        raise ValueError(
            "`data_dir` must name the folder of images. "
            f"Received: data_dir={recipe.data_dir}"
        )
    if recipe.backbone not in BACKBONES:
        raise ValueError(
            f"`backbone` must be one of {sorted(BACKBONES)}. "
            f"Received: backbone={recipe.backbone!r}"
        )
    smallest = {"views": 2, "batch_size": 2, "epochs": 1, "projector_dim": 1}
    smallest |= {"steps_per_epoch": 1, "probe_every": 1, "workers": 1, "seed": 0}
    for name, least in smallest.items():
        value = getattr(recipe, name)
        if value is not None and (not isinstance(value, int) or value < least):
            raise ValueError(
                f"`{name}` must be an int of at least {least}. Received: {name}={value}"
            )
    for name in ("learning_rate", "weight_decay", "warmup_epochs"):
        value = getattr(recipe, name)
        if not 0 <= value < float("inf"):
            raise ValueError(f"`{name}` must be at least 0. Received: {name}={value}")
    losses.BarlowTwins(beta=recipe.beta, pairing=recipe.pairing)
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
        x = keras.layers.Resizing(PIXELS, PIXELS, antialias=True)(x)
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


def _probes(recipe, splits):
    if splits.train is None:
        return []
    every = recipe.probe_every
    return [callbacks.LinearProbe(splits.train, splits.test, every=every)]


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
    print(f"Encoder saved to {workdir / 'encoder.keras'}")


def _results(recipe, model):
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
        "seed": recipe.seed,
        "backend": keras.backend.backend(),
        "device": distribution.device_name(),
        "epochs": recipe.epochs,
    }


def _config(recipe, augmentation, steps):
    settings = {
        field.name: getattr(recipe, field.name)
        for field in dataclasses.fields(recipe)
        if field.name != "by_views"
    }
    return {
        **settings,
        "augmentation": augmentation.get_config(),
        "steps_per_epoch": steps,
        **_provenance(),
    }


def _provenance():
    """What a number must be quoted with."""
    return {
        "command": shlex.join(sys.argv),
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), **distribution.versions()},
        "cpu_cores": os.cpu_count(),
    }


def _define_flags(recipe):
    define = {int: flags.DEFINE_integer, float: flags.DEFINE_float}
    here = {"module_name": sys.argv[0]}  # so that --help shows them
    names = []
    for field in dataclasses.fields(Recipe):
        if field.name in ("dataset", "augmentation", "by_views", "stem"):
            continue
        kind = {"int": int, "float": float}.get(_type_name(field.type))
        default = getattr(recipe, field.name)
        help_text = f"{_help(field.name)} The recipe has {default}."
        if field.name == "backbone":
            flags.DEFINE_enum("backbone", None, sorted(BACKBONES), help_text, **here)
        elif field.name == "pairing":
            flags.DEFINE_enum("pairing", None, ["mean", "all"], help_text, **here)
        elif field.name == "beta":
            flags.DEFINE(_BetaParser(), "beta", None, help_text, **here)
        else:
            define_flag = define.get(kind, flags.DEFINE_string)
            define_flag(field.name, None, help_text, **here)
        names.append(field.name)
    return names


class _BetaParser(flags.ArgumentParser):
    def parse(self, argument):
        return argument if argument == "auto" else float(argument)

    def flag_type(self):
        return "float or 'auto'"


def _type_name(annotation):
    names = [t.__name__ for t in getattr(annotation, "__args__", (annotation,))]
    return names[0]


def _help(name):
    """The line on an attribute in the docstring of `Recipe`."""
    lines = Recipe.__doc__.splitlines()
    start = next(i for i, x in enumerate(lines) if x.strip().startswith(f"{name}: "))
    text = lines[start].split(": ", 1)[1]
    for line in lines[start + 1 :]:
        if not line.startswith("            "):
            break
        text += " " + line.strip()
    return text


def _folder(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_json(path, content):
    path.write_text(json.dumps(content, indent=2) + "\n")
