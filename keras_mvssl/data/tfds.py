"""Data sets of TensorFlow Datasets."""

import difflib
import pathlib

import numpy as np

from keras_mvssl import distribution
from keras_mvssl import progress
from keras_mvssl.data.splits import UNLABELLED
from keras_mvssl.data.splits import Splits
from keras_mvssl.data.splits import fits_in_memory


def load(name, data_dir, image_size):
    """`Splits` of a TFDS data set, and a callable to the labels of `pretrain`."""
    tf = distribution.tensorflow_for_data()
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    if name.partition("/")[0].partition(":")[0] not in known:
        plain = name.lower().replace("-", "").replace(" ", "_")
        near = difflib.get_close_matches(plain, [*known, "shapes"], n=5, cutoff=0.5)
        hint = f" Did you mean one of {near}?" if near else ""
        raise ValueError(
            "A data set is 'shapes', 'folder:PATH', 'npz:PATH' or the name of a TFDS "
            f"data set.{hint} Received: name={name!r}"
        )
    if data_dir is not None:
        data_dir = pathlib.Path(data_dir).expanduser()
    builder = tfds.builder(name, data_dir=data_dir)
    image_key, label_key = _supervised_keys(name, builder.info, tfds)
    _require_bytes(name, builder.info.features[image_key])
    shape = builder.info.features[image_key].shape
    if image_size is not None:
        shape = (image_size, image_size, shape[-1])
    if None in shape:
        raise ValueError(
            f"The images of {name!r} differ in size: choose one with `image_size`. "
            f"Received: image_size={image_size}"
        )
    builder.download_and_prepare()
    splits = builder.info.splits
    if "train" not in splits:
        raise ValueError(
            f"{name!r} must have a split 'train'. Received: splits={sorted(splits)}"
        )
    train_split = "train"
    test_split = next((s for s in ("test", "validation") if s in splits), None)
    if test_split is None:
        train_split, test_split = "train[:80%]", "train[80%:]"
    pretrain_split = next((s for s in UNLABELLED if s in splits), train_split)
    used = {pretrain_split, train_split, test_split}
    total = sum(splits[split].num_examples for split in used)
    fits = fits_in_memory(total, shape)

    def read(split):
        dataset = builder.as_dataset(split=split)
        dataset = dataset.map(
            lambda row: (_resize(tf, row[image_key], shape), row[label_key]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return _to_arrays(dataset, shape, f"{name} {split}") if fits else dataset

    train, test = read(train_split), read(test_split)

    def labels():
        if pretrain_split != train_split:
            return None
        if fits:
            return train[1]
        skip = {image_key: tfds.decode.SkipDecoding()}
        rows = builder.as_dataset(split=train_split, decoders=skip)
        return np.array([row[label_key] for row in rows.as_numpy_iterator()])

    source = train if pretrain_split == train_split else read(pretrain_split)
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
