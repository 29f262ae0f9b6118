"""What a `MultiViewModel` is put together from: checks."""

import contextlib

import keras

from keras_mvssl.views import RandomViews
from keras_mvssl.views.augmentation import check_channels


def check_views_layer(views, encoder):
    """Refuses a layer that does not make what the encoder takes."""
    if not isinstance(views, RandomViews):
        raise ValueError(
            "`views` must be a RandomViews, or None for a model that is given views. "
            f"Received: views={views!r}"
        )
    taken, made = encoder.input_shape[1:], views.augmentation.size
    if any(side not in (None, new) for side, new in zip(taken, made, strict=False)):
        raise ValueError(
            f"The encoder must take views of size {made}. "
            f"Received: encoder.input_shape={encoder.input_shape}"
        )
    if taken[-1] is not None:
        check_channels(views.augmentation, taken)


def output_size(model, name, rank):
    """The number of outputs of a part, once it is known to be fit for its place."""
    shapes = None
    if isinstance(model, keras.Model) and model.built:
        # A model without a graph of layers has none.
        with contextlib.suppress(AttributeError):
            shapes = model.input_shape, model.output_shape
    if shapes is None:
        raise ValueError(
            f"`{name}` must be a built keras.Model that knows its shapes: functional "
            "or Sequential with an Input. Wrap another one: `keras.Model(inputs, "
            "model(inputs))` with `inputs = keras.Input(...)`. "
            f"Received: {name}={model}"
        )
    taken, given = shapes
    if len(taken) != rank or len(given) != 2 or given[-1] is None:
        raise ValueError(
            f"`{name}` must take inputs of rank {rank} and return a known number of "
            f"outputs (N, F), pooled. Received: {name}.input_shape={taken}, "
            f"{name}.output_shape={given}"
        )
    return given[-1]
