"""Copies of an encoder: where devices want its variables, or for images of any size."""

import keras
import numpy as np
from keras import ops


def copied(encoder: keras.Model, images=None) -> keras.Model:
    """Copy a functional or Sequential model by the configs of its layers, with weights.

    Args:
        encoder: The model.
        images: Optional `keras.Input` of the copy, in place of the model's.
    """
    copy = keras.models.clone_model(
        encoder, input_tensors=images, clone_function=_copied_layer, recursive=True
    )
    copy.set_weights(encoder.get_weights())
    return copy


def _copied_layer(layer):
    config = layer.get_config()
    if not isinstance(layer, keras.layers.Lambda):
        return type(layer).from_config(config)
    # Keras refuses to build a function from a config, which may come from anyone.
    same = {name: config[name] for name in ("name", "trainable", "dtype")}
    return type(layer)(
        layer.function, mask=layer.mask, arguments=layer.arguments, **same
    )


def with_open_sizes(encoder: keras.Model) -> keras.Model:
    """Return a copy of an encoder that takes images of any height and width.

    Args:
        encoder: A functional or Sequential model from images `(N, h, w, C)` to features
            `(N, F)`.

    Returns:
        A model with the same weights; the encoder itself where its input has open sizes
        already, or where one of its layers needs the size.
    """
    shape = encoder.input_shape
    if None in shape[1:3] and shape[1] == shape[2]:
        return encoder
    try:
        images = keras.Input((None, None, shape[-1]), dtype=encoder.inputs[0].dtype)
        copy = copied(encoder, images)
        if copy.output_shape != encoder.output_shape:
            return encoder
        height, width = (side or 32 for side in shape[1:3])
        for factor in (1, 2):
            given = (1, factor * height, factor * width, shape[-1])
            copy.compute_output_spec(keras.KerasTensor(given, dtype=images.dtype))
    except Exception:  # Layers raise what they like: this one is saved as it is.
        return encoder
    return copy if _is_same(encoder, copy, (2, height, width, shape[-1])) else encoder


def _is_same(encoder, copy, shape):
    images = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    one, other = (ops.convert_to_numpy(model(images)) for model in (encoder, copy))
    return np.allclose(one, other, rtol=1e-3, atol=1e-3)
