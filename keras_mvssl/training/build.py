"""The objects that a recipe describes: data, views, model and stream."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_mvssl import data
from keras_mvssl import models
from keras_mvssl import optimizers
from keras_mvssl import views
from keras_mvssl.evaluation.features import check_takes_images
from keras_mvssl.models.inputs import check_takes_views
from keras_mvssl.models.weights import take_weights
from keras_mvssl.training.keras_settings import keras_settings
from keras_mvssl.training.own_parts import NO_PARTS
from keras_mvssl.training.own_parts import OwnParts
from keras_mvssl.training.recipe import Recipe

BACKBONES = {
    "tiny": models.TinyResNet,
    "resnet18": models.ResNet18,
    "resnet50": models.ResNet50,
}
OPTIMIZERS = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "lars": optimizers.LARS,
}


@dataclasses.dataclass(frozen=True)
class Parts:
    """The objects that a recipe describes.

    Attributes:
        splits: The data, of `data.load`.
        augmentation: The `Augmentation` of its images.
        model: The compiled, untrained `MultiViewModel`.
        steps_per_epoch: Steps of an epoch.
        make_stream: Function of a number of steps, to the stream for `fit` that begins
            after so many.
        make_views: The `KerasCVViews` of the stream; None where the model makes views.

    Example:
    ```python
    recipe = keras_mvssl.training.Recipe(dataset="shapes", backbone="tiny")
    parts = keras_mvssl.training.build(recipe, splits)
    parts.augmentation, parts.steps_per_epoch
    ```
    """

    splits: data.Splits
    augmentation: views.Augmentation
    model: models.MultiViewModel
    steps_per_epoch: int
    make_stream: Callable[[int], Any]
    # The type is quoted: looking it up would import TensorFlow.
    make_views: "views.KerasCVViews | None"


@keras_settings()
def build(
    recipe: Recipe, splits: data.Splits | None = None, own: OwnParts = NO_PARTS
) -> Parts:
    """Build the objects that a recipe describes, whatever Keras' global settings are.

    Args:
        recipe: A `Recipe`. Its `devices` are left to `distribution.data_parallel`.
        splits: Its data, where they are loaded already.
        own: Parts that `run` is given as objects.

    Returns:
        `Parts`: `model.fit(parts.make_stream(0), epochs=recipe.epochs)` trains.

    Raises:
        ValueError: For settings or data that do not fit.

    Example:
    ```python
    recipe = keras_mvssl.training.Recipe(dataset="shapes", backbone="tiny", epochs=5)
    parts = keras_mvssl.training.build(recipe, splits)
    parts.model.fit(parts.make_stream(0), epochs=recipe.epochs)
    ```
    """
    recipe.check()
    if splits is None:
        splits = _load(recipe) if own.data is None else own.splits()
    engine = own.make_views(splits.image_shape)
    if engine is not None:
        recipe = own.with_views(recipe, engine)
    augmentation = recipe.augmentation_for(splits.image_shape)
    if augmentation.needs_rgb and splits.image_shape[-1] != 3:
        raise ValueError(
            "Saturation, hue and grayscale need RGB images. Give the recipe an "
            "`augmentation` without them. "
            f"Received: images of shape {splits.image_shape}"
        )
    if engine is None:
        make = views.RandomViews if recipe.augment == "device" else views.KerasCVViews
        with _precision(recipe):
            engine = make(augmentation, recipe.views, seed=recipe.seed)
    make_views = engine if recipe.augment == "kerascv" else None
    make_stream = functools.lru_cache(maxsize=1)(
        functools.partial(_make_stream, recipe, make_views, splits.pretrain)
    )
    model = _build_model(recipe, augmentation, splits.image_shape, engine, own)
    stream = make_stream(0)  # Refuses images and batch sizes that do not fit.
    steps = recipe.steps_per_epoch or stream.steps_per_epoch
    if steps is None:
        raise ValueError(
            "The number of images is not known: say how long an epoch is with "
            "`steps_per_epoch`. Received: steps_per_epoch=None"
        )
    compile_model(model, recipe, steps, own.make_loss(recipe))
    return Parts(splits, augmentation, model, steps, make_stream, make_views)


def compile_model(model, recipe, steps_per_epoch, loss=None):
    """Compile a model with the loss, optimizer and learning rates of a recipe.

    Args:
        model: The `MultiViewModel`.
        recipe: A `Recipe`.
        steps_per_epoch: Steps of an epoch.
        loss: A loss in place of the recipe's.
    """
    total = steps_per_epoch * recipe.epochs
    warmup = min(round(steps_per_epoch * recipe.warmup_epochs), total - 1)
    rate = recipe.learning_rate
    if recipe.schedule == "cosine":
        rate = optimizers.warmup_cosine(rate, total, warmup)
    make = OPTIMIZERS[recipe.optimizer]
    optimizer = make(
        rate,
        weight_decay=recipe.weight_decay,
        gradient_accumulation_steps=recipe.accumulate
        if recipe.accumulate > 1
        else None,
    )
    if recipe.optimizer == "adamw":
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer=optimizer, loss=loss or recipe.make_loss())
    # JAX needs to know where the variables of the optimizer lie.
    model.optimizer.build(model.trainable_variables)
    # What the backend cannot do is refused now.
    model.make_train_function()


def _load(recipe):
    name = recipe.dataset
    if name == "folder":
        name = f"folder:{recipe.data_dir}"
    elif recipe.is_of_npz:
        name = f"npz:{recipe.data_dir}"
    return data.load(
        name,
        recipe.data_dir,
        recipe.fraction,
        recipe.seed,
        recipe.image_size,
        recipe.on_bad_image,
        recipe.balanced,
    )


def _build_model(recipe, augmentation, image_shape, engine, own):
    is_device = recipe.augment == "device"
    with _precision(recipe):
        encoder = _make_encoder(recipe, augmentation, image_shape, own)
        check_takes_views(encoder, augmentation, image_shape[-1])
        check_takes_images(encoder, image_shape, "data")  # Probes give it them.
        if recipe.init is not None:
            take_weights(encoder, recipe.init)
        projector = models.Projector(encoder.output_shape[-1], recipe.projector_dim)
        return models.MultiViewModel(encoder, projector, engine if is_device else None)


def _precision(recipe):
    precision = recipe.precision
    return keras_settings(precision if precision == "float32" else f"mixed_{precision}")


def _make_encoder(recipe, augmentation, image_shape, own):
    if own.encoder is not None:
        return own.make_encoder((*augmentation.size, image_shape[-1]))
    is_same = augmentation.size == image_shape[:2]
    size = augmentation.size if is_same else (None, None)
    make = BACKBONES[recipe.backbone]
    stem = {} if recipe.backbone == "tiny" else {"stem": recipe.stem}
    return make((*size, image_shape[-1]), **stem)


def _make_stream(recipe, make_views, images, start_step):
    if make_views is None:
        return data.batches(images, recipe.batch_size, recipe.seed, start_step)
    return data.multiview(
        images,
        make_views,
        recipe.batch_size,
        seed=recipe.seed,
        start_step=start_step,
        workers=recipe.workers,
    )
