"""Images in folders."""

import dataclasses
import pathlib

import numpy as np

from keras_mvssl import _backend
from keras_mvssl.data.images import BadImages
from keras_mvssl.data.images import printable
from keras_mvssl.data.images import read_array
from keras_mvssl.data.images import read_stream
from keras_mvssl.data.images import size_of
from keras_mvssl.data.splits import UNLABELLED
from keras_mvssl.data.splits import Splits
from keras_mvssl.data.splits import fits_in_memory
from keras_mvssl.data.splits import subset_indices

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff")


def load(name, path, seed, image_size, on_bad_image="error", classes=None):
    """`Splits` of a folder of images, and a callable to the labels of `pretrain`.

    `classes`, names of sub-folders, leaves out all others.
    """
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise ValueError(f"There is no such folder. Received: name={name!r}")
    roots = {
        split: next((root / n for n in names if (root / n).is_dir()), None)
        for split, names in (("train", ("train",)), ("unlabelled", UNLABELLED))
    }
    tests = [root / n for n in ("test", "val", "validation") if (root / n).is_dir()]
    # The test of ImageNet has no classes: its labels are kept secret.
    roots["test"] = next((p for p in tests if any(_folders(p))), (*tests, None)[0])
    for path in tests:
        if path != roots["test"]:
            print(f"{path.name}/ is not used: the test is {roots['test'].name}/.")
    if roots["train"] is None:
        reserved = [part.name for part in roots.values() if part]
        if reserved:
            raise ValueError(
                "A folder with these parts must have a part `train` beside them. "
                f"Received: {reserved} in {root}"
            )
    else:
        parts = {*roots.values(), *tests}
        others = sorted(p.name for p in _folders(root) if p not in parts)
        if others:
            raise ValueError(
                "Beside the part `train`, only the parts `test` and `unlabelled` are "
                "read. If `train` is a class like the others, put all classes into "
                f"another folder `train`. Received: {others} in {root}"
            )
    bad = BadImages(on_bad_image)
    train = find_images(roots["train"] or root, bad, classes=classes)
    files, test_files = train.paths, []
    labels, test_labels = train.labels, None
    if labels is not None and len(train.class_names) < 2:
        raise ValueError(
            "One sub-folder is no set of classes. For images without labels, name "
            f"that folder itself. Received: {train.class_names[0]!r} in "
            f"{roots['train'] or root}"
        )
    if labels is None and roots["test"]:
        print(f"{roots['test'].name}/ is not used: train/ has no classes.")
    if labels is not None and roots["train"] and roots["test"]:
        test = find_images(roots["test"], bad, classes=classes)
        if test.class_names != train.class_names:
            raise ValueError(
                "train and test must have the same classes as sub-folders. Received: "
                f"{sorted(set(train.class_names) ^ set(test.class_names or ()))} in "
                "one of them only"
            )
        test_files, test_labels = test.paths, test.labels
    elif labels is not None:
        counts = np.bincount(labels).tolist()
        if min(counts) < 2:
            raise ValueError(
                "Every class needs at least 2 images, one of them for the test. "
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
        # A shuffle buffer does not reach across classes that lie one after another.
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
        train=(x, labels) if fits else with_labels(x, labels),
        test=(x_test, test_labels) if fits else with_labels(x_test, test_labels),
        class_names=train.class_names,
    )
    return splits, lambda: None if extra else labels


@dataclasses.dataclass(frozen=True)
class Found:
    """The images found in a folder; labels and classes are None without sub-folders."""

    paths: list[pathlib.Path]
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None


def find_images(root, bad, labelled=True, classes=None):
    """Lists the images in a folder, in sorted order.

    Args:
        root: The folder.
        labelled: Whether sub-folders are classes. If not, their images are listed
            together.
        bad: `BadImages`.
        classes: Optional names of sub-folders to look into; they must be there.

    Raises:
        ValueError: For a folder, or the sub-folder of a class, without images, and for
            images beside the sub-folders of classes.
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
        files = bad.leave_out(files)
        _require_images(files, root)
        return Found(files, None, None)
    loose = [p for p in inside if _is_image(p)]
    if loose:
        raise ValueError(
            "Images lie beside sub-folders, so it is unclear whether the sub-folders "
            f"are classes. Received: {loose[0]} beside {folders[0]}"
        )
    paths, labels = [], []
    for label, class_folder in enumerate(folders):
        files = bad.leave_out(_images_below(class_folder))
        _require_images(files, class_folder)
        paths += files
        labels += [label] * len(files)
    return Found(
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
    """The shape `(height, width, 3)` of all images, as they are or by `image_size`.

    Reads only the headers.

    Raises:
        ValueError: For a file that is no image, or, without `image_size`, for images
            of different sizes.
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


def with_labels(images, labels):
    """A `tf.data.Dataset` of `(image, label)`."""
    tf = _backend.tensorflow_for_data()
    return tf.data.Dataset.zip(images, tf.data.Dataset.from_tensor_slices(labels))
