"""Data sets of image files in folders."""

import dataclasses
import pathlib
from typing import Literal

import numpy as np

from keras_mvssl import _backend
from keras_mvssl.data import record
from keras_mvssl.data.headers import MAX_PIXELS
from keras_mvssl.data.image_files import Headers
from keras_mvssl.data.image_files import by_name
from keras_mvssl.data.image_files import find_images
from keras_mvssl.data.image_files import list_folder
from keras_mvssl.data.images import read_array
from keras_mvssl.data.images import read_stream
from keras_mvssl.data.record import FolderRecord
from keras_mvssl.data.record import say
from keras_mvssl.data.splits import UNLABELLED_NAMES
from keras_mvssl.data.splits import Splits
from keras_mvssl.data.splits import fits_in_memory
from keras_mvssl.data.splits import subset_indices

LabelsOfFolders = Literal["folders", "none"]
TEST_NAMES = ("test", "val", "validation")
PART_NAMES = ("train", *UNLABELLED_NAMES, *TEST_NAMES)  # in lower case


def load(
    name,
    path,
    seed,
    image_size,
    on_bad_image="error",
    max_pixels=MAX_PIXELS,
    labels=None,
    classes=None,
):
    """Load a folder of images.

    If `classes` is given, only the sub-folders with these names are read.

    Returns:
        `Splits`, and a function that returns the labels of `pretrain`, or None.
    """
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise ValueError(
            "`name` must lead to a folder; no such folder exists. "
            f"Received: name={name!r}"
        )
    notes = FolderRecord(on_bad_image)
    headers = Headers(notes, max_pixels, shrink=image_size is not None)
    parts = _find_parts(root, labels, notes)
    train = find_images(parts.train, headers, labels, classes)
    files, numbers, test_files, test_numbers = train.paths, train.labels, [], None
    if numbers is not None and len(train.class_names) < 2:
        raise ValueError(
            "A folder of classes must have at least two sub-folders. If the images "
            "have no labels, set labels='none', or name the sub-folder itself in "
            f"`name`. Received: {train.class_names[0]!r} in {parts.train}"
        )
    if numbers is None and parts.test:
        why = f"{parts.train.name}/ has no classes" if labels is None else "no labels"
        say(f"{parts.test.name}/ is not used: {why}.")
    elif parts.test:
        test = find_images(parts.test, headers, labels, classes)
        if test.class_names != train.class_names:
            raise ValueError(
                "train and test must have the same classes as sub-folders. Received: "
                f"{sorted(set(train.class_names) ^ set(test.class_names or ()))} in "
                "only one of the two"
            )
        _refuse_common(train, test)
        test_files, test_numbers = test.paths, test.labels
    elif numbers is not None:
        counts = np.bincount(numbers).tolist()
        if min(counts) < 2:
            raise ValueError(
                "Every class needs at least 2 images, one of them for the test set. "
                "If the sub-folders are no classes, labels='none' reads all images "
                "without labels. "
                f"Received: {counts} images in the classes of {root}"
            )
        held_out = subset_indices(len(files), numbers, 0.2, seed)
        kept = np.setdiff1d(np.arange(len(files)), held_out)
        test_files, test_numbers = [files[i] for i in held_out], numbers[held_out]
        files, numbers = [files[i] for i in kept], numbers[kept]
    extra = []
    if parts.unlabelled:
        unlabelled = find_images(parts.unlabelled, headers, "none")
        extra = unlabelled.paths
        if test_files and parts.test:
            _refuse_common(unlabelled, test)
        if numbers is None:
            files, extra = [*files, *_new(unlabelled, train, notes)], []

    used = [*files, *test_files, *extra]
    shape = common_shape(used, headers.sizes, image_size)
    fits = fits_in_memory(len(used), shape)
    if not fits:
        # The files are sorted by class, and the shuffle buffer of a stream does not
        # reach across all classes.
        order = np.random.default_rng(seed).permutation(len(files))
        files = [files[i] for i in order]
        numbers = None if numbers is None else numbers[order]

    def read(paths, numbers):
        into = read_array if fits else read_stream
        return into(paths, numbers, shape, notes, max_pixels)

    x, numbers = read(files, numbers)
    pretrain = read(extra, None)[0] if extra else x
    splits = Splits(name, pretrain, None, None, shape, bad_images=notes.found)
    if numbers is not None:
        x_test, test_numbers = read(test_files, test_numbers)
        splits = dataclasses.replace(
            splits,
            train=(x, numbers) if fits else zip_labels(x, numbers),
            test=(x_test, test_numbers) if fits else zip_labels(x_test, test_numbers),
            class_names=train.class_names,
        )
    notes.tell()
    return splits, lambda: None if extra else numbers


@dataclasses.dataclass(frozen=True)
class PartsOfFolder:
    """The folders of a data set by their use; without `train`, that is the root."""

    train: pathlib.Path
    unlabelled: pathlib.Path | None = None
    test: pathlib.Path | None = None


def _find_parts(root, labels, notes):
    """Return the `PartsOfFolder` of a folder, whatever the case of their names."""
    not_yet = FolderRecord("skip")  # What is no part is recorded when it is read.
    folders = list_folder(root, not_yet).folders
    named = by_name([p for p in folders if p.name.casefold() in PART_NAMES])
    train = named.get("train")
    unlabelled = next((named[n] for n in UNLABELLED_NAMES if n in named), None)
    tests = [named[name] for name in TEST_NAMES if name in named]
    # A test folder with classes is preferred: the labels of ImageNet's `test` are
    # secret, so that folder has no classes, and `val` is used.
    with_classes = (p for p in tests if list_folder(p, not_yet).folders)
    test = next(with_classes, (*tests, None)[0])
    if labels == "none" and train is None:
        train, unlabelled = unlabelled, None
    if not named:
        return PartsOfFolder(root)
    if train is None:
        raise ValueError(
            "A folder with sub-folders of these names must have a sub-folder `train` "
            "beside them. If none of the images have labels, labels='none' reads "
            "`train` and `unlabelled`, of which one is enough. "
            f"Received: {[folder.name for folder in named.values()]} in {root}"
        )
    others = [p.name for p in folders if p not in (train, unlabelled, *tests)]
    if others:
        raise ValueError(
            "Beside the sub-folder `train`, only sub-folders `test` (or `val`) and "
            "`unlabelled` are read. If `train` is a class like the others, move "
            "all classes into a new folder that is also named `train`. "
            f"Received: {others} in {root}"
        )
    for image in list_folder(root, notes).images:
        notes.note(record.BESIDE_PARTS, image)
    for path in tests:
        if path != test:
            say(f"{path.name}/ is not used: the test set is {test.name}/.")
    return PartsOfFolder(train, unlabelled, test)


def _refuse_common(found, test):
    """Refuse files that are in the test set and in another part, through links."""
    common = sorted(set(found.real_paths) & set(test.real_paths))
    if common:
        path = found.paths[found.real_paths.index(common[0])]
        raise ValueError(
            "A file of the test set must be in no other part. "
            f"Received: {len(common)} files in both, {path} among them"
        )


def _new(unlabelled, train, notes):
    """Return the paths of `unlabelled` without links to files of `train`."""
    known, paths = set(train.real_paths), []
    for path, real in zip(unlabelled.paths, unlabelled.real_paths):
        if real in known:
            notes.note(record.REPEATED_FILES, path)
        else:
            paths.append(path)
    return paths


def common_shape(paths, sizes, image_size=None):
    """Return the shape `(height, width, 3)` that all images have or are resized to.

    Args:
        paths: Paths of the images.
        sizes: `{path: (height, width)}`.
        image_size: Optional int, the height and width after resizing.

    Raises:
        ValueError: If the images differ in size and `image_size` is None.
    """
    if image_size is not None:
        return image_size, image_size, 3
    size = sizes[paths[0]]
    for path in paths:
        if sizes[path] != size:
            raise ValueError(
                "Images differ in size: choose one with `image_size`. Received: "
                f"{path} is {sizes[path][0]}x{sizes[path][1]}, {paths[0]} is "
                f"{size[0]}x{size[1]}"
            )
    return *size, 3


def zip_labels(images, labels):
    """Return a `tf.data.Dataset` of `(image, label)`."""
    tf = _backend.tensorflow_for_data()
    return tf.data.Dataset.zip(images, tf.data.Dataset.from_tensor_slices(labels))
