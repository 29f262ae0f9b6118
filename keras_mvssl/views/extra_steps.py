"""Steps of a user's own, applied to views after the built-in ones."""

import inspect
import warnings

import keras
from keras import ops

from keras_mvssl import _backend


def check_steps(steps):
    """Check the steps of `RandomViews(extra=...)`, and tell what random state means.

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
            keras.saving.deserialize_keras_object(config)
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
                stacklevel=4,
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
        ValueError: If a step returns another shape.
    """
    shape = (-1, *views.shape[2:])
    images = ops.reshape(views, shape)

    def draws_of_steps(name):
        return ops.reshape(draws(f"extra {name}"), (-1,))

    for step in steps:
        offered = {"draws": draws_of_steps, "training": True}
        taken = inspect.signature(getattr(step, "call", step)).parameters
        made = step(images, **{k: v for k, v in offered.items() if k in taken})
        if tuple(made.shape)[1:] != shape[1:] or len(made.shape) != 4:
            raise ValueError(
                "A step of `extra` must return views of the shape that it was given. "
                f"Received: {step!r}, which returned the shape {tuple(made.shape)} for "
                f"views of shape {tuple(images.shape)}"
            )
        images = ops.cast(made, "float32")
    return ops.reshape(ops.clip(images, 0.0, 255.0), (-1, *views.shape[1:]))
