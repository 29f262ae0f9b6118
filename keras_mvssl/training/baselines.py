"""The probes that a run is compared with: of raw pixels, and of random weights."""

import contextlib
import json
import numbers

import keras

from keras_mvssl import distribution
from keras_mvssl import evaluation
from keras_mvssl._internal import files

FILE = "baselines.json"
# Names of the probes of a run where they are shown.
PROBES = {
    "pixels": "raw pixels",
    "random_init": "random weights",
    "final": "pretrained",
    "final_16_views": "on 16 views",
}
# Raw pixels are probed at this size at most, so that the probe stays affordable.
MAX_PIXELS = 32


def names_of_probes(config):
    """Return the names of the probes of a run, by the content of its `config.json`."""
    if config.get("initial_weights"):
        return PROBES | {"random_init": "before training"}
    return PROBES


class Baselines:
    """The baseline probes of a run, measured once and kept in the folder of the run.

    Args:
        workdir: Folder of the run.
        config: Content of its `config.json`.
    """

    # Settings that the baselines depend on.
    DEPENDS_ON = (
        *("labelled_data", "seed", "backbone", "stem", "precision", "backend"),
        "stream_version",  # of pixels, networks and the subset of the labels
    )

    def __init__(self, workdir, config):
        self.workdir = workdir
        key = {name: config[name] for name in self.DEPENDS_ON}
        if "initial_weights" in config:  # They were given, not drawn by the seed.
            key |= {x: config.get(x) for x in ("own_encoder", "initial_weights")}
        self.key = json.loads(files.json_text(key))
        self._names = names_of_probes(config)

    def find(self):
        """Return kept accuracies of the same settings, `{name: accuracy}`."""
        with contextlib.suppress(OSError, ValueError, KeyError, AttributeError):
            known = files.read_json(self.workdir / FILE)
            if known["of"] == self.key:
                return {k: v for k, v in known["probe"].items() if _is_share(v)}
        return {}

    def write(self, output, accuracies):
        """Write measured accuracies to a folder."""
        files.write_json(output / FILE, {"of": self.key, "probe": accuracies})

    def measure(self, encoder, splits):
        """Probe raw pixels and random weights where no accuracy is kept yet.

        Args:
            encoder: Encoder with random weights.
            splits: The data, of `data.load`.

        Returns:
            `{"pixels": accuracy, "random_init": accuracy}`; None where there are no
            labels.
        """
        found = self.find()
        return distribution.once(lambda: _measure(encoder, splits, found, self._names))


def _is_share(value):
    return isinstance(value, numbers.Real) and 0 <= value <= 1


def _measure(encoder, splits, known, labels):
    names = ("pixels", "random_init")
    if splits.train is None:
        print("There are no labels, so there are no probes.")
        return dict.fromkeys(names)
    encoders = _pixel_encoder(splits.image_shape), encoder
    accuracies = {name: known[name] for name in names if name in known}
    for name, encoder in zip(names, encoders):
        if name in accuracies:
            continue
        print(f"Linear probe on {labels[name]}", end=": ", flush=True)
        train, test = (
            evaluation.extract_features(encoder, part)
            for part in (splits.train, splits.test)
        )
        accuracies[name] = evaluation.linear_probe(train, test).accuracy
        print(f"{accuracies[name]:.1%}")
    return accuracies


def _pixel_encoder(image_shape):
    """Build a model that returns the pixels of images, at `MAX_PIXELS` at most."""
    images = keras.Input(image_shape)
    x = keras.layers.Rescaling(1 / 255)(images)
    if max(image_shape[:2]) > MAX_PIXELS:
        x = keras.layers.Resizing(
            MAX_PIXELS, MAX_PIXELS, antialias=True, data_format="channels_last"
        )(x)
    return keras.Model(images, keras.layers.Flatten()(x))
