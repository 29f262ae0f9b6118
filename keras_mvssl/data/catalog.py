"""Data sets by name: images to pretrain on, and labelled ones for probes."""

import dataclasses
import difflib
import pathlib
from typing import Any

import numpy as np

from keras_mvssl import distribution
from keras_mvssl import progress
from keras_mvssl.checks import check_pixels
from keras_mvssl.data import folder
from keras_mvssl.data import shapes

# Images that take more bytes than this are streamed instead of held in memory.
MEMORY_LIMIT = 4 * 1024**3
_UNLABELLED = ("unlabelled", "unlabeled", "unsupervised")


@dataclasses.dataclass(frozen=True)
class Splits:
    """A data set, split by use.

    Images that fit in memory are uint8 (or float) arrays, others are `tf.data` data
    sets of single images or of `(image, label)`. All are in [0, 255].

    Attributes:
        name: The name it was loaded by.
        pretrain: Images `(N, H, W, C)` for pretraining, without labels.
        train: `(images, labels)` to fit probes to; None if there are no labels.
        test: `(images, labels)` to test probes on; None if there are no labels.
        image_shape: `(height, width, channels)`.
        class_names: Names of the classes, in the order of the labels.
    """

    name: str
    pretrain: Any
    train: Any
    test: Any
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...] = ()

    @property
    def num_classes(self):
        return len(self.class_names)


def load(name, data_dir=None, fraction=1.0, seed=0, image_size=None):
    """Loads a data set.

    Args:
        name: One of
            - `"shapes"`: simple shapes drawn by code, 32x32 RGB, 10 classes, 10,000
              images to train and 2,000 to test;
            - the name of a TFDS data set with images and labels, such as `"cifar10"`
              or `"stl10"`, read with `tfds.load`. If it has an unlabelled split, that
              one is for pretraining;
            - `"folder:PATH"`: JPEG, PNG and other images in one sub-folder a class, or
              in no sub-folders at all if they are unlabelled. If PATH holds a folder
              `train`, it may hold `test` (or `val`) and `unlabelled` beside it;
              otherwise a fifth of each class is kept for the test, out of
              pretraining too;
            - `"npz:PATH"`: a NumPy file with `x_train` and, if there are labels,
              `y_train`, `x_test`, `y_test`; `x_pretrain` if those differ.
        data_dir: Folder of TFDS data. Defaults to TFDS's own.
        fraction: Share of the images for pretraining to keep, in (0, 1]: a seeded
            subset, of equal share in each class where there are labels. Probes keep
            all of theirs.
        seed: int. Seed of that subset, and of the fifth kept for the test.
        image_size: Optional int. Images are resized (shorter side, antialiased) and
            cropped at the centre to this many pixels each way. Needed where images
            differ in size. For folders and TFDS.

    Returns:
        `Splits`.

    Raises:
        ValueError: For a name that does not exist (with those near to it), a fraction
            outside (0, 1], an empty folder, an image that cannot be read (with its
            path), images of several sizes, or images outside [0, 255].

    Example:

    ```python
    splits = keras_mvssl.data.load("cifar10", fraction=0.2)
    splits.pretrain.shape  # (10000, 32, 32, 3)
    ```
    """
    if not isinstance(fraction, (int, float)) or not 0 < fraction <= 1:
        raise ValueError(f"`fraction` must be in (0, 1]. Received: fraction={fraction}")
    if image_size is not None and (not isinstance(image_size, int) or image_size < 1):
        raise ValueError(
            f"`image_size` must be a positive int. Received: image_size={image_size}"
        )
    kind, _, path = name.partition(":")
    if kind == "folder":
        splits, labels = _load_folder(name, path, seed, image_size)
    elif image_size is not None and (kind == "npz" or name == "shapes"):
        raise ValueError(
            "`image_size` applies to folders and TFDS data sets. "
            f"Received: name={name!r}, image_size={image_size}"
        )
    elif kind == "npz":
        splits, labels = _load_npz(name, path)
    elif name == "shapes":
        splits, labels = _load_shapes()
    else:
        splits, labels = _load_tfds(name, data_dir, image_size)
    return dataclasses.replace(
        splits, pretrain=_subset(splits.pretrain, labels, fraction, seed)
    )


def subset_indices(count, labels, fraction, seed):
    """Indices of a seeded subset, in order; balanced over the labels if there are any.

    Args:
        count: int. The number of examples.
        labels: `(count,)` ints, or None.
        fraction: Share to keep, in (0, 1].
        seed: int.
    """
    rng = np.random.default_rng(seed)
    groups = [np.arange(count)]
    if labels is not None:
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    kept = [
        rng.permutation(group)[: max(1, round(fraction * len(group)))]
        for group in groups
    ]
    return np.sort(np.concatenate(kept))


def _subset(pretrain, labels, fraction, seed):
    """`labels` is a callable: not every data set knows them without reading."""
    if fraction == 1:
        return pretrain
    if isinstance(pretrain, np.ndarray):
        return pretrain[subset_indices(len(pretrain), labels(), fraction, seed)]
    tf = distribution.tensorflow_for_data()
    count = int(pretrain.cardinality())
    kept = np.zeros(count, bool)
    kept[subset_indices(count, labels(), fraction, seed)] = True
    kept_count, kept = int(kept.sum()), tf.constant(kept)
    chosen = pretrain.enumerate().filter(lambda i, image: kept[i])
    chosen = chosen.map(lambda i, image: image)
    return chosen.apply(tf.data.experimental.assert_cardinality(kept_count))


def _load_shapes():
    print("Drawing 12,000 images of shapes")
    x, y = shapes.draw(10_000, seed=0, verbose=True)
    test = shapes.draw(2_000, seed=1)
    splits = Splits("shapes", x, (x, y), test, x.shape[1:], shapes.CLASS_NAMES)
    return splits, lambda: y


def _load_npz(name, path):
    if not pathlib.Path(path).is_file():
        raise ValueError(f"There is no such file. Received: name={name!r}")
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    if "x_train" not in arrays:
        raise ValueError(
            f"`{path}` must hold an array x_train. Received: {sorted(arrays)}"
        )
    for key, array in arrays.items():
        if key.startswith("x_"):
            if array.ndim != 4:
                raise ValueError(
                    f"`{key}` of `{path}` must have shape (N, H, W, C). "
                    f"Received: shape={array.shape}"
                )
            check_pixels(array, f"{key} of {path}")
    x = arrays["x_train"]
    train = test = None
    names = ()
    if "y_train" in arrays:
        train = (x, arrays["y_train"].astype("int32").reshape(-1))
        names = tuple(str(i) for i in range(train[1].max() + 1))
        if "x_test" not in arrays or "y_test" not in arrays:
            raise ValueError(
                f"`{path}` has labels and must hold x_test and y_test for probes. "
                f"Received: {sorted(arrays)}"
            )
        test = (arrays["x_test"], arrays["y_test"].astype("int32").reshape(-1))
    pretrain = arrays.get("x_pretrain", x)
    labels = train[1] if train and pretrain is x else None
    return Splits(name, pretrain, train, test, x.shape[1:], names), lambda: labels


def _load_folder(name, path, seed, image_size):
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise ValueError(f"There is no such folder. Received: name={name!r}")
    roots = {
        split: next((root / n for n in names if (root / n).is_dir()), None)
        for split, names in (
            ("train", ("train",)),
            ("test", ("test", "val", "validation")),
            ("unlabelled", _UNLABELLED),
        )
    }
    train = folder.find_images(roots["train"] or root)
    files, test_files = train.paths, []
    labels, test_labels = train.labels, None
    if labels is not None and roots["train"] and roots["test"]:
        test = folder.find_images(roots["test"])
        if test.class_names != train.class_names:
            raise ValueError(
                "train and test must have the same classes as sub-folders. Received: "
                f"{sorted(set(train.class_names) ^ set(test.class_names or ()))} in "
                "one of them only"
            )
        test_files, test_labels = test.paths, test.labels
    elif labels is not None:
        kept = subset_indices(len(files), labels, 0.8, seed)
        held_out = np.setdiff1d(np.arange(len(files)), kept)
        test_files, test_labels = [files[i] for i in held_out], labels[held_out]
        files, labels = [files[i] for i in kept], labels[kept]
    extra = []
    if roots["train"] and roots["unlabelled"]:
        extra = folder.find_images(roots["unlabelled"], labelled=False).paths

    shape = folder.common_shape([*files, *test_files, *extra], image_size)
    fits = (len(files) + len(test_files) + len(extra)) * np.prod(shape) <= MEMORY_LIMIT
    read = folder.read_array if fits else folder.read_stream
    if not fits:
        # A shuffle buffer does not reach across classes that lie one after another.
        order = np.random.default_rng(seed).permutation(len(files))
        files = [files[i] for i in order]
        labels = None if labels is None else labels[order]
    x = read(files, shape)
    pretrain = read(extra, shape) if extra else x
    splits = Splits(name, pretrain, None, None, shape)
    if labels is None or not len(test_labels):
        return splits, lambda: None
    x_test = read(test_files, shape)
    splits = dataclasses.replace(
        splits,
        train=(x, labels) if fits else folder.with_labels(x, labels),
        test=(x_test, test_labels) if fits else folder.with_labels(x_test, test_labels),
        class_names=train.class_names,
    )
    return splits, lambda: None if extra else labels


def _load_tfds(name, data_dir, image_size):
    tf = distribution.tensorflow_for_data()
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    if name.partition("/")[0].partition(":")[0] not in known:
        near = difflib.get_close_matches(name, [*known, "shapes"], n=5, cutoff=0.5)
        hint = f" Did you mean one of {near}?" if near else ""
        raise ValueError(
            "A data set is 'shapes', 'folder:PATH', 'npz:PATH' or the name of a TFDS "
            f"data set.{hint} Received: name={name!r}"
        )
    if data_dir is not None:
        data_dir = pathlib.Path(data_dir).expanduser()
    builder = tfds.builder(name, data_dir=data_dir)
    builder.download_and_prepare()
    image_key, label_key = _supervised_keys(name, builder.info, tfds)
    shape = builder.info.features[image_key].shape
    if image_size is not None:
        shape = (image_size, image_size, shape[-1])
    if None in shape:
        raise ValueError(
            f"The images of {name!r} differ in size: choose one with `image_size`. "
            f"Received: image_size={image_size}"
        )
    splits = builder.info.splits
    test_split = next((s for s in ("test", "validation") if s in splits), None)
    if "train" not in splits or test_split is None:
        raise ValueError(
            f"{name!r} must have the splits 'train' and 'test' or 'validation'. "
            f"Received: splits={sorted(splits)}"
        )
    pretrain_split = next((s for s in _UNLABELLED if s in splits), "train")
    total = sum(splits[s].num_examples for s in {pretrain_split, "train", test_split})
    fits = total * np.prod(shape) <= MEMORY_LIMIT

    def read(split):
        dataset = builder.as_dataset(split=split)
        dataset = dataset.map(
            lambda row: (_resize(tf, row[image_key], shape), row[label_key]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return _to_arrays(dataset, shape, f"{name} {split}") if fits else dataset

    train, test = read("train"), read(test_split)

    def labels():
        if pretrain_split != "train":
            return None
        if fits:
            return train[1]
        skip = {image_key: tfds.decode.SkipDecoding()}
        rows = builder.as_dataset(split="train", decoders=skip)
        return np.array([row[label_key] for row in rows.as_numpy_iterator()])

    source = train if pretrain_split == "train" else read(pretrain_split)
    pretrain = source[0] if fits else source.map(lambda image, label: image)
    names = tuple(builder.info.features[label_key].names)
    return Splits(name, pretrain, train, test, tuple(shape), names), labels


def _supervised_keys(name, info, tfds):
    keys = info.supervised_keys
    if keys is not None:
        features = [info.features[key] for key in keys[:2]]
        if isinstance(features[0], tfds.features.Image) and isinstance(
            features[1], tfds.features.ClassLabel
        ):
            return keys[:2]
    raise ValueError(
        f"{name!r} does not consist of images with one class label each. "
        f"Received: supervised_keys={keys}"
    )


def _resize(tf, image, shape):
    """Shorter side to size, antialiased, and the centre cut out."""
    if image.shape == tuple(shape):
        return image
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    side = tf.cast(shape[0], tf.float32)
    to = tf.cast(tf.math.ceil(size * side / tf.reduce_min(size)), tf.int32)
    image = tf.image.resize(image, to, antialias=True)
    image = tf.image.resize_with_crop_or_pad(image, shape[0], shape[1])
    return tf.ensure_shape(tf.cast(tf.round(image), tf.uint8), shape)


def _to_arrays(dataset, shape, title):
    count = int(dataset.cardinality())
    images, labels = np.empty((count, *shape), "uint8"), np.empty(count, "int32")
    print(f"Reading {title}")
    bar = progress.bar(count, "image")
    start = 0
    for x, y in dataset.batch(1024).as_numpy_iterator():
        part = slice(start, start + len(x))
        images[part], labels[part] = x, y
        start += len(x)
        bar.update(start)
    return images, labels
