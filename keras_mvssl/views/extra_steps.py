"""Steps of a user's own, applied to views after the built-in ones."""

import inspect
import warnings

import keras
from keras import ops

from keras_mvssl import _backend


def check_steps(steps):
    """Check the steps of `RandomViews(extra=...)`, and warn of those with random state.

    Args:
        steps: Keras layers and functions.

    Returns:
        The steps, as a list.

    Raises:
        ValueError: For anything but a list or tuple of callables that Keras can save
            and load, as checkpoints must.
    """
    if not isinstance(steps, (list, tuple)) or not all(map(callable, steps)):
        raise ValueError(
            "`extra` must be a list of Keras layers or functions that take views "
            f"(N, h, w, C) and return them. Received: extra={steps!r}"
        )
    for step in steps:
        try:
            config = keras.saving.serialize_keras_object(step)
            loaded = keras.saving.deserialize_keras_object(config)
            if inspect.isfunction(step) and loaded is not step:
                raise ValueError(f"another function has the name {step.__name__!r}.")
        except Exception as error:
            raise ValueError(
                "Each step of `extra` must be one that Keras can save and load: a "
                "layer or a function with a name, below "
                "`@keras.saving.register_keras_serializable()`. "
                f"Keras says: {error} Received: a step {step!r}"
            ) from error
        if isinstance(step, keras.layers.Layer) and _backend.seed_generators(step):
            warnings.warn(
                f"`extra`: the layer {step.name!r} draws from random state of its own. "
                "A run that is continued on the same backend and devices repeats its "
                "numbers, but another backend, number of devices or batch size gives "
                "others, and each evaluation draws new ones. A step that takes `draws` "
                "has none of these limits.",
                stacklevel=3,
            )
    return list(steps)


def apply_steps(steps, views, draws):
    """Apply steps to views.

    Args:
        steps: A list that `check_steps` returned.
        views: float32 `(B, V, h, w, C)`.
        draws: `Draws` of the views.

    Returns:
        float32 views of the same shape, in [0, 255].

    Raises:
        ValueError: If a step returns another shape, or has weights.
    """
    shape = (-1, *views.shape[2:])
    images = ops.reshape(views, shape)

    def draws_of_steps(name):
        return ops.reshape(draws(f"extra {name}"), (-1,))

    for step in steps:
        is_layer = isinstance(step, keras.layers.Layer)
        taken = inspect.signature(step.call if is_layer else step).parameters
        arguments = {"draws": draws_of_steps} if "draws" in taken else {}
        if is_layer:
            arguments["training"] = True  # Layers within it may want to know.
        made = step(images, **arguments)
        given = tuple(images.shape)
        if is_layer and step.weights:
            raise ValueError(
                "Layers in `extra` must have no weights: training would change them, "
                f"and with them the views. Received: {step!r}, with weights "
                f"{[weight.path for weight in step.weights]}"
            )
        returned = getattr(made, "shape", None)
        if returned is None or not _may_be_equal(tuple(returned), given):
            what = type(made) if returned is None else f"the shape {tuple(returned)}"
            raise ValueError(
                "A step of `extra` must return views of the shape that it was given. "
                f"Received: {step!r}, which returned {what} for views of shape {given}"
            )
        images = ops.cast(made, "float32")
    return ops.reshape(ops.clip(images, 0.0, 255.0), ops.shape(views))


def _may_be_equal(one, other):
    """Return whether two shapes are equal, as far as they are known."""
    return len(one) == len(other) and all(
        a == b or None in (a, b) for a, b in zip(one, other, strict=True)
    )
