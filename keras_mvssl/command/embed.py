"""Subcommand `embed`: the features of all images, with the names of their files."""

import csv
import dataclasses
import os
import pathlib

import numpy as np

from keras_mvssl import distribution
from keras_mvssl import evaluation
from keras_mvssl._internal.files import atomic_write
from keras_mvssl.command import loading
from keras_mvssl.command.evaluate import unlabelled_features
from keras_mvssl.data.folder import PART_NAMES
from keras_mvssl.data.folder import common_shape
from keras_mvssl.data.headers import MAX_PIXELS
from keras_mvssl.data.image_files import Headers
from keras_mvssl.data.image_files import find_images
from keras_mvssl.data.image_files import list_folder
from keras_mvssl.data.images import read_array
from keras_mvssl.data.record import FolderRecord
from keras_mvssl.data.splits import UNLABELLED_NAMES
from keras_mvssl.evaluation.features import run_in_batches

SUFFIXES = (".npz", ".csv")
CHUNK_BYTES = 2**28  # of decoded images that are in memory at once


def add(parser):
    """Write the features of images to a file."""
    loading.add_arguments(parser)
    text = (
        "Where to write the features, .npz or .csv, with the names of the files of a "
        "folder, else with the part and the index of each image, and with labels where "
        "there are any."
    )
    parser.flag("where", "out", text, metavar="FILE", required=True)


def start(arguments):
    """Load the encoder and the data, and write the features."""
    loading.check(arguments)
    loading.check_output("out", arguments.out, SUFFIXES)
    distribution.keep_freed_memory()
    encoder = loading.load_encoder(arguments)
    if loading.dataset(arguments.data).startswith("folder:"):
        found = _of_folder(encoder, arguments)
    else:
        found = _of_splits(encoder, arguments)
    with atomic_write(arguments.out) as unfinished:
        write = _write_csv if arguments.out.lower().endswith(".csv") else _write_npz
        write(unfinished, found)
    count, size = found.features.shape
    print(f"{count:,} images, {size} features of each: {arguments.out}")


@dataclasses.dataclass(frozen=True)
class Embedded:
    """Features of images.

    Attributes:
        features: float32 features `(N, F)`.
        names: Name of each image, of its file relative to the folder.
        labels: Label of each image, -1 for none; None without labels.
        class_names: Names of the classes in the order of the labels.
    """

    features: np.ndarray
    names: list[str]
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()


def _of_folder(encoder, arguments):
    """Return the `Embedded` of all images of a folder, in the order of their paths."""
    path = loading.dataset(arguments.data).partition(":")[2]
    root = pathlib.Path(path).expanduser()
    notes, size = FolderRecord(arguments.on_bad_image), loading.image_size(arguments)
    headers = Headers(notes, MAX_PIXELS, shrink=size is not None)
    parts = _parts(root)
    found = [
        find_images(part, headers, "none" if is_unlabelled else arguments.labels)
        for part, is_unlabelled in parts
    ]
    paths = [path for part in found for path in part.paths]
    class_names = tuple(dict.fromkeys(x for p in found for x in p.class_names or ()))
    labels = [
        -1
        if part.labels is None
        else class_names.index(part.class_names[part.labels[i]])
        for part in found
        for i in range(len(part.paths))
    ]
    shape = common_shape(paths, headers.sizes, size)
    chunk = max(arguments.batch_size, CHUNK_BYTES // int(np.prod(shape)))
    features, kept = [], []
    for start in range(0, len(paths), chunk):
        numbers = np.arange(start, min(start + chunk, len(paths)))
        files = [paths[i] for i in numbers]
        images, numbers = read_array(files, numbers, shape, notes, MAX_PIXELS)
        features.append(run_in_batches(encoder, images, arguments.batch_size))
        kept += numbers.tolist()
    notes.tell()
    return Embedded(
        np.concatenate(features),
        [pathlib.Path(os.path.relpath(paths[i], root)).as_posix() for i in kept],
        np.array([labels[i] for i in kept], "int32") if class_names else None,
        class_names,
    )


def _parts(root):
    """Return the folders that hold images, and whether each is without labels.

    Without a `train` among them, or with other folders, they are classes like others.
    """
    if not root.is_dir():
        raise ValueError(f"There is no such folder. Received: {root}")
    inside = list_folder(root, FolderRecord("skip"))
    folders = {x.name.casefold(): x for x in inside.folders}
    if "train" not in folders or inside.images or set(folders) - set(PART_NAMES):
        return [(root, False)]
    named = [x for x in PART_NAMES if x in folders]
    return [(folders[x], x in UNLABELLED_NAMES) for x in named]


def _of_splits(encoder, arguments):
    """Return the `Embedded` of a data set that is no folder, known by parts."""
    splits, size = loading.load_data(arguments), arguments.batch_size
    if splits.train is None:
        features = unlabelled_features(encoder, splits.pretrain, size)
        return Embedded(features, [f"pretrain/{i}" for i in range(len(features))])
    parts = {"train": splits.train, "test": splits.test}
    found = {
        name: evaluation.extract_features(encoder, part, size)
        for name, part in parts.items()
    }
    return Embedded(
        np.concatenate([features for features, _ in found.values()]),
        [f"{name}/{i}" for name, (_, y) in found.items() for i in range(len(y))],
        np.concatenate([labels for _, labels in found.values()]),
        splits.class_names,
    )


def _write_npz(path, found):
    arrays = {"features": found.features, "names": np.array(found.names)}
    if found.labels is not None:
        arrays["labels"] = found.labels
        arrays["class_names"] = np.array(found.class_names)
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def _write_csv(path, found):
    labels = [] if found.labels is None else ["label"]
    heading = ["name", *labels, *(f"f{i}" for i in range(found.features.shape[1]))]
    with open(
        path, "w", encoding="utf-8", errors="surrogateescape", newline=""
    ) as file:
        rows = csv.writer(file)
        rows.writerow(heading)
        for index, (name, features) in enumerate(zip(found.names, found.features)):
            row = [name]
            if found.labels is not None:
                label = found.labels[index]
                row.append(found.class_names[label] if label >= 0 else "")
            rows.writerow([*row, *(str(x) for x in features)])
