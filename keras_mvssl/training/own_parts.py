"""Parts of a run that are given as objects, in place of names in its recipe."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_mvssl import callbacks
from keras_mvssl import views
from keras_mvssl._internal.pixels import host_array
from keras_mvssl.callbacks.probe import flat_labels
from keras_mvssl.callbacks.training_settings import described
from keras_mvssl.callbacks.training_settings import not_described
from keras_mvssl.data import Splits
from keras_mvssl.models.copies import copied
from keras_mvssl.models.loss_terms import refuse_targets
from keras_mvssl.models.weights import checksum_of_weights
from keras_mvssl.training.recipe import Recipe
from keras_mvssl.training.saved_settings import REPLACED

# Name of data that are given as an array.
ARRAYS = "arrays"


@dataclasses.dataclass(frozen=True)
class OwnParts:
    """Parts of a run that are given as objects; None for those that a recipe names.

    Attributes:
        encoder: A built `keras.Model`, or a function of the image shape that makes one.
        loss: A `keras.losses.Loss` on projections `(B, V, D)`.
        views: `RandomViews` or `KerasCVViews`, or a function of the image shape.
        callbacks: Keras callbacks.
        data: An array of images `(N, H, W, C)`, or `Splits`.
    """

    encoder: keras.Model | Callable | None = None
    loss: keras.losses.Loss | None = None
    # The types are quoted: looking one up would import TensorFlow.
    views: "views.RandomViews | views.KerasCVViews | Callable | None" = None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    data: np.ndarray | Splits | None = None

    def check(self, recipe: Recipe):
        """Check the types of all parts, and that the recipe does not name them too.

        Raises:
            ValueError: For a part of another type, or a setting that does not apply.
        """
        encoder, engine = self.encoder, self.views
        if not (encoder is None or _is_model(encoder) or _makes(encoder)):
            raise ValueError(
                "`encoder` must be a keras.Model, or a function of the image shape "
                f"that makes one. Received: encoder={self.encoder!r}"
            )
        if self.loss is not None:
            if not isinstance(self.loss, keras.losses.Loss):
                raise ValueError(
                    "`loss` must be a keras.losses.Loss on projections (B, V, D). "
                    f"Received: loss={self.loss!r}"
                )
            refuse_targets(self.loss, {})
        if not (engine is None or _is_engine(engine) or _makes(engine)):
            raise ValueError(
                "`views` must be RandomViews or KerasCVViews, or a function of the "
                f"image shape that makes them. Received: views={self.views!r}"
            )
        for callback in self.callbacks:
            if not isinstance(callback, keras.callbacks.Callback):
                raise ValueError(
                    "`callbacks` must be a list of Keras callbacks. "
                    f"Received: callbacks={self.callbacks!r}"
                )
            if isinstance(callback, callbacks.Checkpoint):
                raise ValueError(
                    "`callbacks` must not hold a Checkpoint: the run has one. "
                    f"Received: callbacks={self.callbacks!r}"
                )
        self._refuse_settings(recipe)

    def _refuse_settings(self, recipe):
        named = {field.name: field.default for field in dataclasses.fields(Recipe)}
        known = _of_views(self.views)
        for part in self.given():
            for name in REPLACED[part]:
                value = getattr(recipe, name)
                if value not in (named[name], known.get(name, named[name])):
                    raise ValueError(
                        f"`{name}` does not apply where `{part}` is given: leave it "
                        f"out of the recipe. Received: {name}={value!r}"
                    )
        if self.data is None and recipe.dataset is None:
            raise ValueError(
                "Name the data in the recipe, or give `data`. Received: dataset=None"
            )
        if self.data is not None and recipe.dataset not in (None, self._data_name()):
            raise ValueError(
                "`dataset` does not apply where `data` is given: leave it out of the "
                f"recipe. Received: dataset={recipe.dataset!r}"
            )
        if recipe.precision != "float32" and _is_model(self.encoder):
            raise ValueError(
                "A model that is built has its precision. Give `encoder` as a function "
                "of the image shape, which is called with that of the recipe. "
                f"Received: precision={recipe.precision!r}, encoder={self.encoder!r}"
            )

    def _data_name(self):
        return self.data.name if isinstance(self.data, Splits) else ARRAYS

    def with_views(self, recipe: Recipe, engine=None) -> Recipe:
        """Return a recipe that says what the given engine for views does.

        Args:
            recipe: A `Recipe`.
            engine: The engine, where a function has made it.
        """
        if self.views is None:
            return recipe
        return dataclasses.replace(recipe, **_of_views(engine or self.views))

    def splits(self) -> Splits:
        """Return the given data as `Splits`."""
        if isinstance(self.data, Splits):
            train, test = map(_pair, (self.data.train, self.data.test))
            return dataclasses.replace(self.data, train=train, test=test)
        images = self.data
        if keras.ops.is_tensor(images):
            images = keras.ops.convert_to_numpy(images)
        images = host_array(images, "data")
        if not isinstance(images, np.ndarray) or images.ndim != 4:
            raise ValueError(
                "`data` must be an array of images (N, H, W, C), or Splits. Received: "
                f"data={type(images).__name__} of shape {getattr(images, 'shape', '?')}"
            )
        return Splits(ARRAYS, images, None, None, images.shape[1:])

    def make_loss(self, recipe: Recipe) -> keras.losses.Loss:
        """Return the given loss, or that of the recipe."""
        return recipe.make_loss() if self.loss is None else self.loss

    def given(self) -> list[str]:
        """List the names of the parts that are given and that settings stand for."""
        return [name for name in REPLACED if getattr(self, name) is not None]

    def describe(self, recipe, parts=None) -> dict[str, Any]:
        """Describe the given parts for `config.json`.

        Args:
            recipe: The `Recipe` of the run.
            parts: The `Parts` of the run. Without them, what functions make, and the
                data, are left out.
        """
        found: dict[str, Any] = {}
        encoder = parts.model.encoder if parts else self.encoder
        engine = _engine(parts) if parts else self.views
        if self.encoder is not None and _is_model(encoder):
            config = json.dumps(described(encoder), sort_keys=True)
            digest = hashlib.sha256(config.encode()).hexdigest()
            found["backbone"] = _name(encoder)
            found["own_encoder"] = {"name": _name(encoder), "config": digest}
        if self.loss is not None:
            found["loss"] = type(self.loss).__name__
            found["beta"] = getattr(self.loss, "beta", None)
            found["pairing"] = getattr(self.loss, "pairing", None)
            found["own_loss"] = described(self.loss)
        if self.views is not None and _is_engine(engine):
            found["own_views"] = described(engine)
        if self.callbacks:
            found["own_callbacks"] = [type(x).__name__ for x in self.callbacks]
        if parts and self.data is not None:
            found |= {"dataset": parts.splits.name, "own_data": True}
        if parts and (self.encoder is not None or recipe.init is not None):
            found["initial_weights"] = checksum_of_weights(encoder)
        return found

    def not_compared(self, parts=None) -> list[str]:
        """List what `describe` cannot tell apart, in words."""
        objects = {"encoder": self.encoder, "loss": self.loss, "views": self.views}
        if parts:
            objects |= {"encoder": parts.model.encoder, "views": _engine(parts)}
        found = [] if parts or self.data is None else ["`data`"]
        for name, part in objects.items():
            if getattr(self, name) is None:
                continue
            if name != "loss" and not (_is_model(part) or _is_engine(part)):
                found.append(f"what `{name}` makes")
            else:
                found += [f"{what} of `{name}`" for what in not_described(part)]
        return found

    def make_encoder(self, view_shape) -> keras.Model:
        """Return the given encoder: what the function makes, or a copy of the model.

        Variables of a copy lie where the devices of the run want them.
        """
        given: Any = self.encoder
        if _is_model(given):
            try:
                return copied(given)
            except Exception as error:  # Keras and layers raise what they like.
                raise ValueError(
                    "`encoder` must be a model that Keras can build again: functional "
                    "or Sequential, of layers with `get_config`. Or give a function of "
                    f"the image shape that makes it. Keras says: {error} "
                    f"Received: encoder={given!r}"
                ) from error
        made = given(view_shape)
        if not _is_model(made):
            raise ValueError(
                "`encoder` must make a keras.Model. "
                f"Received: {given!r}, which returned {made!r}"
            )
        return made

    def make_views(self, image_shape):
        """Return the given engine for views, anew; None where the recipe names it."""
        engine = self.views
        if engine is None:
            return None
        if not _is_engine(engine):
            engine = engine(image_shape)
        if isinstance(engine, views.RandomViews):
            return type(engine).from_config(engine.get_config())
        if not _is_engine(engine):
            raise ValueError(
                "`views` must make RandomViews or KerasCVViews. "
                f"Received: {self.views!r}, which returned {engine!r}"
            )
        return engine


NO_PARTS = OwnParts()


def _name(model):
    """Return the name of a model; that of its class where Keras made it up."""
    kind = type(model).__name__
    made_up = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
    return kind if re.sub(r"_\d+$", "", model.name) == made_up else model.name


def _pair(labelled):
    """Return `(images, labels)` as a tuple, with labels `(N,)`; others as they are."""
    labelled = flat_labels(labelled)
    return tuple(labelled) if isinstance(labelled, list) else labelled


def _engine(parts):
    return parts.make_views or parts.model.views


def _is_model(value):
    return isinstance(value, keras.Model)


def _makes(value):
    """Return whether it is a function that makes a part, no part and no class."""
    return callable(value) and not isinstance(value, (type, keras.Layer))


def _is_engine(value):
    return isinstance(value, views.RandomViews) or _is_kerascv(value)


def _is_kerascv(value):
    # They are asked for by name: looking the class up would import TensorFlow.
    return any(x.__name__ == "KerasCVViews" for x in type(value).__mro__)


def _of_views(engine):
    """Return the settings of a recipe that say what an engine does."""
    if not _is_engine(engine):
        return {}
    return {
        "views": engine.views,
        "view_size": None,
        "augment": "kerascv" if _is_kerascv(engine) else "device",
        "augmentation": engine.augmentation,
    }
