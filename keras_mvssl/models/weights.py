"""Weights of an encoder: taken from a saved model, and told apart by a checksum."""

import hashlib
import os
import warnings

import keras
import numpy as np

from keras_mvssl import _backend
from keras_mvssl._internal.files import is_file
from keras_mvssl.models.multi_view_model import MultiViewModel

# Below this cosine, features of the same weights are not those of the same network.
LEAST_COSINE = 0.99


def checksum_of_weights(model: keras.Model) -> str:
    """Return the SHA-256 of all weights of a model, in hexadecimal."""
    found = hashlib.sha256()
    for weight in model.weights:
        found.update(np.asarray(_backend.value_of(weight)).tobytes())
    return found.hexdigest()


def take_weights(encoder: keras.Model, path: str | os.PathLike) -> None:
    """Give an encoder the weights of a saved model.

    A warning tells if the two compute different features of the same weights, as where
    they normalise pixels in other ways.

    Args:
        encoder: The encoder, from images to features.
        path: File of a Keras model with the same weights in the same order: an encoder,
            or a `MultiViewModel`, whose encoder is taken.

    Raises:
        ValueError: For a file that is no such model.
    """
    if not is_file(path):
        raise ValueError(
            f"`init` must name the file of a saved Keras model. Received: init={path}"
        )
    try:
        saved = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever its parts raise.
        raise ValueError(
            "`init` must name a saved Keras model, such as an `encoder.keras`: "
            f"{type(error).__name__}: {error} Received: init={path}"
        ) from error
    if isinstance(saved, MultiViewModel):
        saved = saved.encoder
    there, here = (
        [tuple(w.shape) for w in model.weights] for model in (saved, encoder)
    )
    if there != here:
        pairs = enumerate(zip(there, here, strict=False))
        first = next((i for i, (a, b) in pairs if a != b), min(len(there), len(here)))
        a, b = (
            f"{model.weights[first].path} of shape {shapes[first]}"
            if first < len(shapes)
            else "nothing"
            for model, shapes in ((saved, there), (encoder, here))
        )
        raise ValueError(
            f"`init` must have the {len(here)} weights of the encoder, in their order. "
            f"Received: init={path}, with {len(there)} weights; number {first + 1} is "
            f"{a} there, {b} in the encoder"
        )
    encoder.set_weights(saved.get_weights())
    _warn_if_others(saved, encoder, path)


def _warn_if_others(saved, encoder, path):
    """Warn if two models with the same weights return other features."""
    try:
        shape = [side or 32 for side in encoder.input_shape[1:]]
        images = np.random.default_rng(0).integers(0, 256, (2, *shape))
        one, other = (
            np.asarray(keras.ops.convert_to_numpy(model(images.astype("float32"))))
            for model in (saved, encoder)
        )
    except ValueError:  # The saved one takes images of another size.
        return
    one, other = one.astype("float64").ravel(), other.astype("float64").ravel()
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    is_same = one.shape == other.shape and (
        one @ other >= LEAST_COSINE * lengths and lengths > 0
    )
    if not is_same and (one.any() or other.any()):
        warnings.warn(
            f"With the weights of {path}, the encoder returns other features than the "
            "saved model: the two may normalise pixels in other ways.",
            stacklevel=3,
        )
