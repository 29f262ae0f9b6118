"""The parts of a run, as a recipe describes them."""

import contextlib
import dataclasses

import keras
import numpy as np

from keras_mvssl import callbacks
from keras_mvssl import data
from keras_mvssl import models
from keras_mvssl import optimizers
from keras_mvssl import views
from keras_mvssl.models.multi_view_model import EVALUATION_STEP
from keras_mvssl.recipe import BACKBONES
from keras_mvssl.recipe import OPTIMIZERS

# Test images whose spectrum is measured during training, and those in TensorBoard's
# embedding projector.
SPECTRUM, EMBEDDED = 5000, 1000


def build_model(recipe, augmentation, image_shape):
    """The untrained model of a recipe, in its precision."""
    with _precision(recipe.precision):
        size = (
            augmentation.size if augmentation.size == image_shape[:2] else (None, None)
        )
        make = BACKBONES[recipe.backbone]
        stem = {} if recipe.backbone == "tiny" else {"stem": recipe.stem}
        encoder = make((*size, image_shape[-1]), **stem)
        projector = models.Projector(encoder.output_shape[-1], recipe.projector_dim)
        layer = None
        if recipe.augment == "device":
            layer = views.RandomViews(augmentation, recipe.views, seed=recipe.seed)
        return models.MultiViewModel(encoder, projector, layer)


def steps_per_epoch(recipe, whole):
    """Steps of an epoch, whole executions of them; `whole` is None if not known."""
    steps = recipe.steps_per_epoch or whole
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
    return steps - steps % recipe.steps_per_execution


def compile_model(model, recipe, steps_per_epoch):
    """Compiles with a recipe's loss and optimizer, warm-up and cosine decay."""
    total = steps_per_epoch * recipe.epochs
    warmup = min(round(steps_per_epoch * recipe.warmup_epochs), total - 1)
    make = OPTIMIZERS[recipe.optimizer]
    optimizer = make(
        optimizers.warmup_cosine(recipe.learning_rate, total, warmup),
        weight_decay=recipe.weight_decay,
        gradient_accumulation_steps=recipe.accumulate
        if recipe.accumulate > 1
        else None,
    )
    if recipe.optimizer == "adamw":
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer=optimizer,
        loss=recipe.make_loss(),
        steps_per_execution=recipe.steps_per_execution,
    )
    model.optimizer.build(model.trainable_variables)  # JAX wants to know where it lies.
    model.make_train_function()  # Refuses now what the backend cannot do.


def make_stream(recipe, augmentation, images, start_step=0):
    """What `fit` is given: views, or images for a model that makes them."""
    if recipe.augment == "device":
        return data.batches(images, recipe.batch_size, recipe.seed, start_step)
    make_views = views.KerasCVViews(augmentation, recipe.views, seed=recipe.seed)
    return data.multiview(
        images,
        make_views,
        recipe.batch_size,
        seed=recipe.seed,
        start_step=start_step,
        workers=recipe.workers,
    )


@dataclasses.dataclass(frozen=True)
class Watchers:
    """What watches a run.

    Attributes:
        throughput, spectrum, metrics: Those that the results are taken from.
        callbacks: All but the checkpoint, in the order in which they see each other's
            logs.
        checkpoint: The checkpoint.
    """

    throughput: callbacks.Throughput
    spectrum: callbacks.Spectrum
    metrics: callbacks.MetricsCSV
    checkpoint: callbacks.Checkpoint
    callbacks: list


def make_watchers(recipe, augmentation, splits, stream, home, workdir, clock):
    """`Watchers` that write into `workdir`, with checkpoints in the run's `home`.

    `stream` is the one from the first step.
    """
    every = recipe.probe_every
    images = splits.pretrain if splits.test is None else splits.test
    images = _first(images, SPECTRUM)
    made = None
    if recipe.augment == "kerascv":
        make = views.KerasCVViews(augmentation, recipe.views, seed=recipe.seed)
        made = np.asarray(make(images[: callbacks.Spectrum.PROJECTED], EVALUATION_STEP))
    probes = []
    embedding = None
    if splits.train is not None:
        probes = [
            callbacks.LinearProbe(splits.train, splits.test, every=every),
            callbacks.KNNProbe(splits.train, splits.test, every=every),
        ]
        embedding = images[:EMBEDDED], _first(splits.test, EMBEDDED, part=1)
    spectrum = callbacks.Spectrum(images, made, every=every)
    throughput = callbacks.Throughput(recipe.views * recipe.batch_size, stream)
    metrics = callbacks.MetricsCSV(workdir / "metrics.csv")
    gallery = None
    if not (workdir / "views.png").exists():  # nor where a run goes on
        gallery = callbacks.ViewGallery(stream, workdir / "views.png")
    watchers = [
        throughput,
        callbacks.StopOnDivergence(),
        *probes,
        spectrum,
        gallery,
        metrics,
        callbacks.TensorBoard(
            workdir / "tensorboard", gallery, spectrum, embedding, splits.class_names
        ),
    ]
    checkpoint = callbacks.Checkpoint(
        home / "checkpoint",
        recipe.checkpoint_minutes,
        recipe.checkpoint_steps,
        monitor="probe_accuracy" if probes else "loss",
        state={
            "throughput": throughput,
            "spectrum": spectrum,
            "metrics": metrics,
            "clock": clock,
        },
    )
    watchers = [x for x in watchers if x is not None]
    return Watchers(throughput, spectrum, metrics, checkpoint, watchers)


def _first(data, count, part=0):
    """The first images (or labels, part 1) of arrays or of a data set."""
    if hasattr(data, "element_spec"):
        items = data.take(count).as_numpy_iterator()
        return np.stack([x[part] if isinstance(x, tuple) else x for x in items])
    return (data[part] if isinstance(data, tuple) else data)[:count]


@contextlib.contextmanager
def _precision(precision):
    """Layers made within compute in this precision; their weights are float32."""
    before = keras.config.dtype_policy()
    policy = "float32" if precision == "float32" else f"mixed_{precision}"
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
