"""Subcommand `evaluate`: every probe of a saved encoder, and its features."""

import contextlib
from typing import Any

import numpy as np

from keras_mvssl import distribution
from keras_mvssl import evaluation
from keras_mvssl._internal.files import atomic_write
from keras_mvssl.command import loading
from keras_mvssl.command.parser import UsageError
from keras_mvssl.training import provenance
from keras_mvssl.training import write_json
from keras_mvssl.views import Augmentation


def add(parser):
    """Measure a saved encoder with every probe."""
    loading.add_arguments(parser)
    text = (
        "Whether to probe features averaged over 16 views too, as the paper does: one "
        "view is clean, and 15 are by --augmentation."
    )
    parser.switch("probes", "paper_16", text)
    text = (
        "Preset of `views.Augmentation` for --paper_16. Default: that of the data set, "
        "or `Augmentation()`."
    )
    parser.flag("probes", "augmentation", text, metavar="NAME")
    text = "Seed of the labels that are held out, and of shares of them. Default: 0."
    parser.flag("probes", "seed", text, type=int, default=0, metavar="INT")
    text = "JSON file for the results."
    parser.flag("where", "out", text, metavar="FILE")
    text = (
        "npz file for the features x_train and x_test with labels y_train and y_test, "
        "or for x_pretrain where there are no labels."
    )
    parser.flag("where", "export_features", text, metavar="FILE")


def start(arguments):
    """Load the encoder and the data, and show and write what the probes find."""
    loading.check(arguments)
    _check(arguments)
    for name in ("out", "export_features"):
        loading.check_output(name, getattr(arguments, name))
    distribution.keep_freed_memory()
    encoder = loading.load_encoder(arguments)
    splits = loading.load_data(arguments)
    results: dict[str, Any] = {}

    def show(name, value, form=".1%"):
        """Keep a result, and print it in this format."""
        results[name] = value
        print(f"{name:40}{value:>10{form}}", flush=True)

    if splits.train is None:
        print(f"{splits.name} has no labels, which probes need.")
        features = unlabelled_features(encoder, splits.pretrain, arguments.batch_size)
        _show_spectrum(features, show)
        arrays = {"x_pretrain": features}
    else:
        arrays = _show_probes(encoder, splits, arguments, show)
    if arguments.export_features:
        path = arguments.export_features
        with atomic_write(path) as unfinished, open(unfinished, "wb") as file:
            np.savez(file, **arrays)
        print(f"Features: {arguments.export_features}")
    if arguments.out:
        found = {"encoder": arguments.encoder, "dataset": splits.name, **results}
        write_json(arguments.out, {**found, **provenance()})


def _check(arguments):
    """Check what the probes are told before anything is loaded; raise `UsageError`."""
    if arguments.seed < 0:
        raise UsageError(
            f"`seed` must be an int of at least 0. Received: seed={arguments.seed}"
        )
    if arguments.augmentation:
        try:
            Augmentation.preset(arguments.augmentation)
        except ValueError as error:
            raise UsageError(str(error)) from error


def _show_probes(encoder, splits, arguments, show):
    """Show what each probe finds, and return the features and labels by name."""
    batch_size, seed = arguments.batch_size, arguments.seed
    train, test = (
        evaluation.extract_features(encoder, part, batch_size)
        for part in (splits.train, splits.test)
    )
    print(f"{len(train[0]):,} training and {len(test[0]):,} test images")
    probe = evaluation.linear_probe
    show("logistic", probe(train, test, seed=seed).accuracy)
    for fraction in (0.1, 0.01):
        accuracy = probe(train, test, fraction=fraction, seed=seed).accuracy
        show(f"logistic, {fraction:.0%} of the labels", accuracy)
    show("ridge", probe(train, test, "ridge", seed=seed).accuracy)
    show("paper", probe(train, test, "paper", seed=seed).accuracy)
    if arguments.paper_16:
        found = evaluation.probe_16_views(
            encoder,
            splits.train,
            splits.test,
            _augmentation(arguments.augmentation, splits),
            batch_size=max(1, batch_size // 16),
            seed=seed,
        )
        show("paper, mean of 16 views", found.accuracy)
    for k in (20, 200):
        if k <= len(train[0]):
            show(f"{k} neighbours", evaluation.knn(train, test, k=k).accuracy)
    _show_spectrum(train[0], show)
    return dict(x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1])


def _show_spectrum(features, show):
    found = evaluation.spectrum(features)
    if found.power_law is not None:
        show("alpha", found.power_law.alpha, ".2f")
    show("rankme", found.rankme, ".1f")
    show("effective rank", found.effective_rank, ".1f")
    show("participation ratio", found.participation_ratio, ".1f")


def unlabelled_features(encoder, images, batch_size) -> np.ndarray:
    """Return the float32 features of images without labels."""
    if hasattr(images, "element_spec"):
        features = encoder.predict(images.batch(batch_size))
    else:
        features = encoder.predict(images, batch_size=batch_size)
    return np.asarray(features, "float32")


def _augmentation(name, splits):
    """Return the augmentation that is asked for, or that suits the data."""
    if name:
        return Augmentation.preset(name)
    with contextlib.suppress(ValueError):
        return Augmentation.preset(splits.name)
    size = splits.image_shape[:2]
    if splits.image_shape[-1] == 3:
        return Augmentation(size=size)
    return Augmentation(size=size, saturation=0, hue=0, grayscale=0)
