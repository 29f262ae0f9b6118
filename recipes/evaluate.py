"""Evaluation of a saved encoder with every probe, and export of its features.

    python recipes/evaluate.py runs/shapes/encoder.keras --dataset=shapes

The encoder may be any Keras model from images in [0, 255] to features. `--views=8` adds
the paper's protocol: features averaged over 8 augmented views of an image. On two CPU
cores, the encoder of `recipes/shapes.py` takes 20 seconds, with 8 views.
"""

import os
import signal

if __name__ == "__main__":  # While libraries are imported, a signal to stop ends it.
    for number in signal.valid_signals() & {1, 2, 15}:  # HUP, INT, TERM
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(75))

import contextlib
import pathlib

import keras
import numpy as np
from absl import app
from absl import flags

import keras_mvssl as mv

DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Data set, a name for data.load: shapes, cifar10, folder:PATH, npz:PATH...",
    required=True,
)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of TFDS data.")
IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Pixels that images are resized to."
)
PAPER_16 = flags.DEFINE_bool(
    "paper_16",
    False,
    "Whether to probe features averaged over 16 views too, as the paper does: one view "
    "is clean, and 15 are by --augmentation.",
)
AUGMENTATION = flags.DEFINE_string(
    "augmentation",
    None,
    "Preset of `views.Augmentation` for --paper_16. Default: that of the data set, or "
    "`Augmentation()`.",
)
BATCH = flags.DEFINE_integer(
    "batch_size", 512, "Images per forward pass.", lower_bound=1
)
SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of the labels that are held out, and of shares of the labels."
)
OUT = flags.DEFINE_string("out", None, "JSON file for the results.")
EXPORT = flags.DEFINE_string(
    "export_features",
    None,
    "npz file for the features x_train and x_test with labels y_train and y_test, or "
    "for x_pretrain where there are no labels.",
)


def main(argv):
    """Load the encoder and the data, and show and write what the probes find."""
    if len(argv) != 2:
        raise app.UsageError("Name one saved encoder.")
    for flag in (OUT, EXPORT):
        if flag.value and not pathlib.Path(flag.value).resolve().parent.is_dir():
            raise app.UsageError(f"--{flag.name}={flag.value}: no such folder.")
    mv.distribution.keep_freed_memory()
    encoder = keras.saving.load_model(argv[1], compile=False)
    splits = mv.data.load(DATASET.value, DATA_DIR.value, image_size=IMAGE_SIZE.value)
    results = {}

    def show(name, value, form=".1%"):
        """Keep a result, and print it in this format."""
        results[name] = value
        print(f"{name:40}{value:>10{form}}", flush=True)

    if splits.train is None:
        print(f"{splits.name} has no labels, which probes need.")
        features = _unlabelled_features(encoder, splits.pretrain)
        _show_spectrum(features, show)
        _export(x_pretrain=features)
    else:
        _show_probes(encoder, splits, show)
    if OUT.value:
        results = {"encoder": argv[1], "dataset": splits.name, **results}
        mv.training.write_json(OUT.value, {**results, **mv.training.provenance()})


def _show_probes(encoder, splits, show):
    train, test = (
        mv.evaluation.extract_features(encoder, part, BATCH.value)
        for part in (splits.train, splits.test)
    )
    print(f"{len(train[0]):,} training and {len(test[0]):,} test images")
    probe, seed = mv.evaluation.linear_probe, SEED.value
    show("logistic", probe(train, test, seed=seed).accuracy)
    for fraction in (0.1, 0.01):
        accuracy = probe(train, test, fraction=fraction, seed=seed).accuracy
        show(f"logistic, {fraction:.0%} of the labels", accuracy)
    show("ridge", probe(train, test, "ridge", seed=seed).accuracy)
    show("paper", probe(train, test, "paper", seed=seed).accuracy)
    if PAPER_16.value:
        found = mv.evaluation.probe_16_views(
            encoder,
            splits.train,
            splits.test,
            _augmentation(splits),
            batch_size=max(1, BATCH.value // 16),
            seed=seed,
        )
        show("paper, mean of 16 views", found.accuracy)
    for k in (20, 200):
        if k <= len(train[0]):
            show(f"{k} neighbours", mv.evaluation.knn(train, test, k=k).accuracy)
    _show_spectrum(train[0], show)
    _export(x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1])


def _show_spectrum(features, show):
    found = mv.evaluation.spectrum(features)
    if found.power_law is not None:
        show("alpha", found.power_law.alpha, ".2f")
    show("rankme", found.rankme, ".1f")
    show("effective rank", found.effective_rank, ".1f")
    show("participation ratio", found.participation_ratio, ".1f")


def _unlabelled_features(encoder, images):
    """Return the float32 features of images without labels."""
    if hasattr(images, "element_spec"):
        features = encoder.predict(images.batch(BATCH.value))
    else:
        features = encoder.predict(images, batch_size=BATCH.value)
    return np.asarray(features, "float32")


def _export(**arrays):
    if EXPORT.value:
        with open(EXPORT.value, "wb") as file:
            np.savez(file, **arrays)
        print(f"Features: {EXPORT.value}")


def _augmentation(splits):
    """Return the augmentation that is asked for, or that suits the data."""
    if AUGMENTATION.value:
        return mv.views.Augmentation.preset(AUGMENTATION.value)
    with contextlib.suppress(ValueError):
        return mv.views.Augmentation.preset(splits.name)
    size = splits.image_shape[:2]
    if splits.image_shape[-1] == 3:
        return mv.views.Augmentation(size=size)
    return mv.views.Augmentation(size=size, saturation=0, hue=0, grayscale=0)


if __name__ == "__main__":
    app.run(main)
