"""The probes that a run is compared with: of raw pixels, and of random weights."""

import contextlib
import json

import keras

from keras_mvssl import evaluation
from keras_mvssl import records

FILE = "baselines.json"
# Raw pixels are probed at this size at most, so that the probe stays affordable.
PIXELS = 32


def describe(config):
    """What the probes of a run on pixels and on random weights depend on."""
    names = ("labelled_data", "seed", "backbone", "stem", "precision", "backend")
    return json.loads(json.dumps({name: config[name] for name in names}))


def find(folder, of):
    """The accuracies in a folder, `{name: accuracy}`; none if they are of others."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if known["of"] == of:
            return known["probe"]
    return {}


def write(folder, of, accuracies):
    records.write_json(folder / FILE, {"of": of, "probe": accuracies})


def measure(encoder, splits, known):
    """Probes what is not among `known`; None where there are no labels.

    Args:
        encoder: Encoder with random weights.
        splits: The data, of `data.load`.
        known: `{name: accuracy}` that are not measured again.

    Returns:
        `{"pixels": accuracy, "random_init": accuracy}`.
    """
    names = ("pixels", "random_init")
    if splits.train is None:
        print("There are no labels, so there are no probes.")
        return dict.fromkeys(names)
    encoders = _pixels(splits.image_shape), encoder
    accuracies = {name: known[name] for name in names if name in known}
    for name, encoder in zip(names, encoders):
        if name in accuracies:
            continue
        print(f"Linear probe on {records.PROBES[name]}", end=": ", flush=True)
        train, test = (
            evaluation.extract_features(encoder, part)
            for part in (splits.train, splits.test)
        )
        accuracies[name] = evaluation.linear_probe(train, test).accuracy
        print(f"{accuracies[name]:.1%}")
    return accuracies


def _pixels(image_shape):
    images = keras.Input(image_shape)
    x = keras.layers.Rescaling(1 / 255)(images)
    if max(image_shape[:2]) > PIXELS:
        x = keras.layers.Resizing(
            PIXELS, PIXELS, antialias=True, data_format="channels_last"
        )(x)
    return keras.Model(images, keras.layers.Flatten()(x))
