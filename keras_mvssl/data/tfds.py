"""Data sets of TensorFlow Datasets."""

import difflib
import functools
import pathlib

import numpy as np

from keras_mvssl import _backend
from keras_mvssl._internal import progress
from keras_mvssl.data.splits import UNLABELLED
from keras_mvssl.data.splits import Splits
from keras_mvssl.data.splits import fits_in_memory


def load(name, data_dir, image_size, classes=None):
    """`Splits` of a TFDS data set, and a callable to the labels of `pretrain`.

    `classes`, names, leaves out the images of all others.
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
            "A data set is 'shapes', 'imagenet100', 'folder:PATH', 'npz:PATH' or the "
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
        place = {wanted: index for index, wanted in enumerate(classes)}
        new_label = tf.constant([place.get(x, -1) for x in names], tf.int64)
        names = tuple(classes)

    def stored(split):
        """Images not yet decoded, and labels, of all classes."""
        skip = {image_key: tfds.decode.SkipDecoding()}
        rows = builder.as_dataset(split=split, decoders=skip)
        return rows.map(lambda row: (row[image_key], row[label_key]))

    def encoded(split):
        rows = stored(split)
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

    pretrain_split, train_split, test_split = _choose_splits(
        name, builder.info.splits, lambda split: next(iter(stored(split)))[1] >= 0
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
    """Downloads, or says which files to bring."""
    by_hand = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    try:
        builder.download_and_prepare()
    except (AssertionError, OSError) as error:
        if not by_hand:
            raise
        place = pathlib.Path(builder.data_dir).parents[1] / "downloads" / "manual"
        raise ValueError(
            f"{name!r} cannot be downloaded without you. What TFDS wants in the folder "
            f"{place}, as they are: {' '.join(by_hand.split())} "
            f"Received: name={name!r}, data_dir={str(place.parents[1])!r}"
        ) from error


def _choose_splits(name, splits, is_labelled):
    """Names of the splits to pretrain on, to fit probes to, and to test them on."""
    if "train" not in splits:
        raise ValueError(
            f"{name!r} must have a split 'train'. Received: splits={sorted(splits)}"
        )
    train = "train"
    # The labels of some tests are kept secret.
    tests = (s for s in ("test", "validation") if s in splits and is_labelled(s))
    test = next(tests, None)
    if test is None:
        train, test = "train[:80%]", "train[80%:]"
    unlabelled = next((s for s in UNLABELLED if s in splits), None)
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
        f"{name!r} does not consist of images with one class label each. "
        f"Received: supervised_keys={keys}"
    )


def _require_bytes(name, feature):
    if feature.np_dtype != np.uint8:
        raise ValueError(
            f"The images of {name!r} must be uint8, in [0, 255]. "
            f"Received: dtype={np.dtype(feature.np_dtype)}"
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
