"""Data sets of image files in folders."""

import dataclasses
import pathlib

import numpy as np

from keras_mvssl import _backend
from keras_mvssl.data.images import BadImages
from keras_mvssl.data.images import printable
from keras_mvssl.data.images import read_array
from keras_mvssl.data.images import read_stream
from keras_mvssl.data.images import size_of
from keras_mvssl.data.splits import UNLABELLED_NAMES
from keras_mvssl.data.splits import Splits
from keras_mvssl.data.splits import fits_in_memory
from keras_mvssl.data.splits import subset_indices

# Files with these suffixes are taken for images.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff")


def load(name, path, seed, image_size, on_bad_image="error", classes=None):
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
    roots = {
        split: next((root / n for n in names if (root / n).is_dir()), None)
        for split, names in (("train", ("train",)), ("unlabelled", UNLABELLED_NAMES))
    }
    tests = [root / n for n in ("test", "val", "validation") if (root / n).is_dir()]
    # A test folder with classes is preferred: the labels of ImageNet's `test` are
    # secret, so that folder has no classes, and `val` is used.
    roots["test"] = next((p for p in tests if any(_folders(p))), (*tests, None)[0])
    for path in tests:
        if path != roots["test"]:
            print(f"{path.name}/ is not used: the test set is {roots['test'].name}/.")
    if roots["train"] is None:
        reserved = [part.name for part in roots.values() if part]
        if reserved:
            raise ValueError(
                "A folder with sub-folders of these names must have a sub-folder "
                f"`train` beside them. Received: {reserved} in {root}"
            )
    else:
        parts = {*roots.values(), *tests}
        others = sorted(p.name for p in _folders(root) if p not in parts)
        if others:
            raise ValueError(
                "Beside the sub-folder `train`, only sub-folders `test` (or `val`) and "
                "`unlabelled` are read. If `train` is a class like the others, move "
                "all classes into a new folder that is also named `train`. "
                f"Received: {others} in {root}"
            )
    bad = BadImages(on_bad_image)
    train = find_images(roots["train"] or root, bad, classes=classes)
    files, test_files = train.paths, []
    labels, test_labels = train.labels, None
    if labels is not None and len(train.class_names) < 2:
        raise ValueError(
            "A folder of classes must have at least two sub-folders. If the images "
            "have no labels, name the sub-folder itself in `name`. "
            f"Received: {train.class_names[0]!r} in {roots['train'] or root}"
        )
    if labels is None and roots["test"]:
        print(f"{roots['test'].name}/ is not used: train/ has no classes.")
    if labels is not None and roots["train"] and roots["test"]:
        test = find_images(roots["test"], bad, classes=classes)
        if test.class_names != train.class_names:
            raise ValueError(
                "train and test must have the same classes as sub-folders. Received: "
                f"{sorted(set(train.class_names) ^ set(test.class_names or ()))} in "
                "only one of the two"
            )
        test_files, test_labels = test.paths, test.labels
    elif labels is not None:
        counts = np.bincount(labels).tolist()
        if min(counts) < 2:
            raise ValueError(
                "Every class needs at least 2 images, one of them for the test set. "
                f"Received: {counts} images in the classes of {root}"
            )
        held_out = subset_indices(len(files), labels, 0.2, seed)
        kept = np.setdiff1d(np.arange(len(files)), held_out)
        test_files, test_labels = [files[i] for i in held_out], labels[held_out]
        files, labels = [files[i] for i in kept], labels[kept]
    extra = []
    if roots["train"] and roots["unlabelled"]:
        extra = find_images(roots["unlabelled"], bad, labelled=False).paths
        if labels is None:
            files, extra = [*files, *extra], []

    shape = common_shape([*files, *test_files, *extra], image_size)
    fits = fits_in_memory(len(files) + len(test_files) + len(extra), shape)
    read = read_array if fits else read_stream
    if not fits:
        # The files are sorted by class, and the shuffle buffer of a stream does not
        # reach across all classes.
        order = np.random.default_rng(seed).permutation(len(files))
        files = [files[i] for i in order]
        labels = None if labels is None else labels[order]
    x, labels = read(files, labels, shape, bad)
    pretrain = read(extra, None, shape, bad)[0] if extra else x
    splits = Splits(name, pretrain, None, None, shape, bad_images=bad.found)
    if labels is None:
        return splits, lambda: None
    x_test, test_labels = read(test_files, test_labels, shape, bad)
    splits = dataclasses.replace(
        splits,
        train=(x, labels) if fits else zip_labels(x, labels),
        test=(x_test, test_labels) if fits else zip_labels(x_test, test_labels),
        class_names=train.class_names,
    )
    return splits, lambda: None if extra else labels


@dataclasses.dataclass(frozen=True)
class FoundImages:
    """Images found in a folder; labels and class names are None without sub-folders."""

    paths: list[pathlib.Path]
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None


def find_images(root, bad, labelled=True, classes=None):
    """List the images in a folder, in sorted order.

    Args:
        root: The folder.
        bad: `BadImages`, which records files that are no images.
        labelled: Whether sub-folders are classes. If not, the images of all
            sub-folders are listed together, without labels.
        classes: Optional names of the sub-folders to list. All must exist.

    Returns:
        `FoundImages`.

    Raises:
        ValueError: If the folder or the sub-folder of a class has no images, if a
            sub-folder of `classes` is missing, or if images lie beside the sub-folders
            of classes.
    """
    inside, folders = sorted(root.iterdir()), _folders(root)
    if classes is not None:
        missing = sorted(set(classes) - {p.name for p in folders})
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(classes)} classes have no sub-folder in "
                f"{root}. Received: no {missing[0]}"
            )
        folders = [p for p in folders if p.name in classes]
    if not labelled or not folders:
        files = _images_below(root) if folders else [p for p in inside if _is_image(p)]
        files = bad.keep_readable(files)
        _require_images(files, root)
        return FoundImages(files, None, None)
    loose = [p for p in inside if _is_image(p)]
    if loose:
        raise ValueError(
            "Images lie beside sub-folders, so it is unclear whether the sub-folders "
            f"are classes. Received: {loose[0]} beside {folders[0]}"
        )
    paths, labels = [], []
    for label, class_folder in enumerate(folders):
        files = bad.keep_readable(_images_below(class_folder))
        _require_images(files, class_folder)
        paths += files
        labels += [label] * len(files)
    return FoundImages(
        paths, np.array(labels, "int32"), tuple(printable(p.name) for p in folders)
    )


def _folders(root):
    return [p for p in sorted(root.iterdir()) if p.is_dir() and p.name[0] != "."]


def _is_image(path):
    return (
        path.suffix.lower() in SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )


def _images_below(root):
    return sorted(p for p in root.rglob("*") if _is_image(p))


def _require_images(files, root):
    if not files:
        raise ValueError(
            f"There are no images ({', '.join(SUFFIXES)}) in the folder. "
            f"Received: folder={root}"
        )


def common_shape(paths, image_size=None):
    """Return the shape `(height, width, 3)` that all images have or are resized to.

    Only the headers of the files are read.

    Raises:
        ValueError: If a file is no image, or if the images differ in size and
            `image_size` is None.
    """
    shape = None
    for path in paths:
        size = (*size_of(path), 3)
        if image_size is None and shape is not None and size != shape:
            raise ValueError(
                "Images differ in size: choose one with `image_size`. Received: "
                f"{path} is {size[0]}x{size[1]}, {paths[0]} is {shape[0]}x{shape[1]}"
            )
        shape = shape or size
    return shape if image_size is None else (image_size, image_size, 3)


def zip_labels(images, labels):
    """Return a `tf.data.Dataset` of `(image, label)`."""
    tf = _backend.tensorflow_for_data()
    return tf.data.Dataset.zip(images, tf.data.Dataset.from_tensor_slices(labels))
