"""Data sets of TensorFlow Datasets (TFDS)."""

import difflib
import functools
import pathlib

import numpy as np

from keras_mvssl import _backend
from keras_mvssl._internal import progress
from keras_mvssl.data.splits import UNLABELLED_NAMES
from keras_mvssl.data.splits import Splits
from keras_mvssl.data.splits import fits_in_memory


def load(name, data_dir, image_size, classes=None):
    """Load a TFDS data set.

    If `classes` is given, only images of the classes with these names are kept.

    Returns:
        `Splits`, and a function that returns the labels of `pretrain`, or None.
    """
    tf = _backend.tensorflow_for_data()
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    if name.partition("/")[0].partition(":")[0] not in known:
        plain = name.lower().replace("-", "").replace(" ", "_")
        names = [*known, "shapes", "imagenet100"]
        near = difflib.get_close_matches(plain, names, n=5, cutoff=0.5)
        hint = f" Did you mean one of {near}?" if near else ""
        if pathlib.Path(name).expanduser().is_dir():
            hint = f" Did you mean 'folder:{name}'?"
        raise ValueError(
            "`name` must be 'shapes', 'imagenet100', 'folder:PATH', 'npz:PATH' or the "
            f"name of a TFDS data set.{hint} Received: name={name!r}"
        )
    if data_dir is not None:
        data_dir = pathlib.Path(data_dir).expanduser()
    builder = tfds.builder(name, data_dir=data_dir)
    image_key, label_key = _supervised_keys(name, builder.info, tfds)
    image_feature = builder.info.features[image_key]
    _require_bytes(name, image_feature)
    shape = image_feature.shape
    if image_size is not None:
        shape = (image_size, image_size, shape[-1])
    if None in shape:
        raise ValueError(
            f"The images of {name!r} differ in size: choose one with `image_size`. "
            f"Received: image_size={image_size}"
        )
    _prepare(name, builder)
    names = tuple(builder.info.features[label_key].names)
    new_label = tf.range(len(names), dtype=tf.int64)
    if classes is not None:
        label_of = {wanted: label for label, wanted in enumerate(classes)}
        new_label = tf.constant([label_of.get(x, -1) for x in names], tf.int64)
        names = tuple(classes)

    def encoded_of_all_classes(split):
        """Return a `tf.data.Dataset` of images that are not decoded, and labels."""
        skip = {image_key: tfds.decode.SkipDecoding()}
        rows = builder.as_dataset(split=split, decoders=skip)
        return rows.map(lambda row: (row[image_key], row[label_key]))

    def encoded(split):
        rows = encoded_of_all_classes(split)
        if classes is None:
            return rows
        rows = rows.map(lambda image, label: (image, tf.gather(new_label, label)))
        return rows.filter(lambda image, label: label >= 0)

    @functools.cache
    def labels_of(split):
        rows = encoded(split).map(lambda image, label: label)
        return np.fromiter(rows.as_numpy_iterator(), "int64")

    def count_of(split):
        if classes is None:
            parts = split.split("+")
            return sum(builder.info.splits[part].num_examples for part in parts)
        return len(labels_of(split))

    def is_labelled(split):
        return next(iter(encoded_of_all_classes(split)))[1] >= 0

    pretrain_split, train_split, test_split = _choose_splits(
        name, builder.info.splits, is_labelled
    )
    used = {pretrain_split, train_split, test_split}
    fits = fits_in_memory(sum(count_of(split) for split in used), shape)

    def read(split):
        dataset = encoded(split).map(
            lambda image, label: (
                _resize(tf, image_feature.decode_example(image), shape),
                label,
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        dataset = dataset.apply(
            tf.data.experimental.assert_cardinality(count_of(split))
        )
        return _to_arrays(dataset, shape, f"{name} {split}") if fits else dataset

    train, test = read(train_split), read(test_split)

    def labels():
        if pretrain_split != train_split:
            return None
        return train[1] if fits else labels_of(train_split)

    source = train if pretrain_split == train_split else read(pretrain_split)
    pretrain = source[0] if fits else source.map(lambda image, label: image)
    return Splits(name, pretrain, train, test, tuple(shape), names), labels


def _prepare(name, builder):
    """Download and prepare a data set, or name the files that the user must add."""
    instructions = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    try:
        builder.download_and_prepare()
    except (AssertionError, OSError) as error:
        if not instructions:
            raise
        manual = pathlib.Path(builder.data_dir).parents[1] / "downloads" / "manual"
        raise ValueError(
            f"The files of {name!r} must be downloaded by hand and put, as they are, "
            f"into the folder {manual}. TFDS says: {' '.join(instructions.split())} "
            f"Received: name={name!r}, data_dir={str(manual.parents[1])!r}"
        ) from error


def _choose_splits(name, splits, is_labelled):
    """Return the splits for pretraining, for fitting probes and for testing them."""
    if "train" not in splits:
        raise ValueError(
            f"The data set {name!r} must have a split 'train'. "
            f"Received: splits={sorted(splits)}"
        )
    train = "train"
    # The test labels of some data sets are secret: TFDS gives -1 for each.
    tests = (s for s in ("test", "validation") if s in splits and is_labelled(s))
    test = next(tests, None)
    if test is None:
        train, test = "train[:80%]", "train[80%:]"
    unlabelled = next((s for s in UNLABELLED_NAMES if s in splits), None)
    return (train if unlabelled is None else f"{unlabelled}+{train}"), train, test


def _supervised_keys(name, info, tfds):
    keys = info.supervised_keys
    if keys is not None:
        features = [info.features[key] for key in keys[:2]]
        if isinstance(features[0], tfds.features.Image) and isinstance(
            features[1], tfds.features.ClassLabel
        ):
            return keys[:2]
    raise ValueError(
        f"The data set {name!r} must consist of images with one class label each. "
        f"Received: supervised_keys={keys}"
    )


def _require_bytes(name, feature):
    if feature.np_dtype != np.uint8:
        raise ValueError(
            f"The images of {name!r} must be uint8, in [0, 255]. "
            f"Received: dtype={np.dtype(feature.np_dtype)}"
        )


def _resize(tf, image, shape):
    """Resize the shorter side of an image, antialiased, and crop the centre."""
    if image.shape == tuple(shape):
        return image
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    side = tf.cast(shape[0], tf.float32)
    new_size = tf.cast(tf.math.ceil(size * side / tf.reduce_min(size)), tf.int32)
    image = tf.image.resize(image, new_size, antialias=True)
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
