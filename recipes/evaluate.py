"""Evaluates a saved encoder with every probe, and exports its features.

    python recipes/evaluate.py runs/shapes/encoder.keras --dataset=shapes

Any Keras model from images in [0, 255] to features will do. `--views=8` adds the
paper's protocol: features averaged over 8 augmented views of an image. On two CPU
cores, the encoder of `recipes/shapes.py` takes 20 seconds, with 8 views.
"""

import pathlib

import keras
import numpy as np
from absl import app
from absl import flags

import keras_mvssl as mv
from keras_mvssl.training import results as records

DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Name for data.load: shapes, cifar10, folder:PATH, npz:PATH...",
    required=True,
)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the data, for TFDS.")
IMAGE_SIZE = flags.DEFINE_integer("image_size", None, "Pixels to resize images to.")
VIEWS = flags.DEFINE_integer(
    "views", None, "Views to average features over, as well.", lower_bound=2
)
BATCH = flags.DEFINE_integer(
    "batch_size", 512, "Images per forward pass.", lower_bound=1
)
SEED = flags.DEFINE_integer("seed", 0, "Seed of held-out and of few labels.")
OUT = flags.DEFINE_string("out", None, "A JSON file for the results.")
EXPORT = flags.DEFINE_string(
    "export_features",
    None,
    "An npz file for x_train, y_train, x_test and y_test; x_pretrain without labels.",
)


def main(argv):
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
        results[name] = value
        print(f"{name:40}{value:>10{form}}", flush=True)

    if splits.train is None:
        print(f"{splits.name} has no labels, which probes need.")
        features = _features_alone(encoder, splits.pretrain)
        _spectrum(features, show)
        _export(x_pretrain=features)
    else:
        _probes(encoder, splits, show)
    if OUT.value:
        results = {"encoder": argv[1], "dataset": splits.name, **results}
        records.write_json(pathlib.Path(OUT.value), {**results, **records.provenance()})


def _probes(encoder, splits, show):
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
    if VIEWS.value:
        size = splits.image_shape[:2]
        layer = mv.views.RandomViews(_augmentation(size, splits), VIEWS.value)
        averaged = [
            mv.evaluation.extract_features(
                encoder, part, max(1, BATCH.value // VIEWS.value), layer
            )
            for part in (splits.train, splits.test)
        ]
        accuracy = probe(*averaged, "paper", seed=seed).accuracy
        show(f"paper, mean of {VIEWS.value} views", accuracy)
    for k in (20, 200):
        if k <= len(train[0]):
            show(f"{k} neighbours", mv.evaluation.knn(train, test, k=k).accuracy)
    _spectrum(train[0], show)
    _export(x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1])


def _spectrum(features, show):
    found = mv.evaluation.spectrum(features)
    if found.power_law is not None:
        show("alpha", found.power_law.alpha, ".2f")
    show("rankme", found.rankme, ".1f")
    show("effective rank", found.effective_rank, ".1f")
    show("participation ratio", found.participation_ratio, ".1f")


def _features_alone(encoder, images):
    """Features of images without labels, float32."""
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


def _augmentation(size, splits):
    """Crops and flips, and colours where there are any: those of the defaults."""
    if splits.image_shape[-1] == 3:
        return mv.views.Augmentation(size=size)
    return mv.views.Augmentation(size=size, saturation=0, hue=0, grayscale=0)


if __name__ == "__main__":
    app.run(main)
