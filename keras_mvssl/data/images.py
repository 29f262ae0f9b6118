"""Reading of image files, at once into memory or as a stream."""

import os
import pathlib
from typing import Literal

import numpy as np

from keras_mvssl import _backend
from keras_mvssl._internal import progress
from keras_mvssl.data.decoding import read_image
from keras_mvssl.data.record import say

BadImagePolicy = Literal["error", "skip"]


def read_array(paths, labels, shape, record, max_pixels):
    """Decode images to a uint8 array of RGB.

    Args:
        paths: Paths of the N images.
        labels: `(N,)`, or None.
        shape: `(height, width, 3)` of every decoded image.
        record: `FolderRecord`, which says what to do with unreadable images.
        max_pixels: Most pixels of an image that are decoded.

    Returns:
        The images that could be read, `(count, *shape)`, and their labels or None.
    """
    images = np.empty((len(paths), *shape), "uint8")
    good = np.ones(len(paths), bool)
    folder = os.path.commonpath([path.parent for path in paths]) or "."
    say(f"Reading {len(paths)} images from {folder}")
    bar = progress.bar(len(paths), "image")
    for index, path in enumerate(paths):
        try:
            images[index] = read_image(path, shape, max_pixels, record.note)
        except ValueError as error:
            record.handle(error)
            good[index] = False
        if index % 100 == 99 or index + 1 == len(paths):
            bar.update(index + 1)
    if not good.any():
        raise ValueError(f"No image can be read. Received: {record.found}")
    if not good.all():
        images, labels = images[good], None if labels is None else labels[good]
    return images, labels


def read_stream(paths, labels, shape, record, max_pixels):
    """Return a `tf.data.Dataset` that decodes images when they are needed, and labels.

    The arguments are those of `read_array`. An image that cannot be decoded is
    replaced by the next image of its folder.
    """
    tf = _backend.tensorflow_for_data()

    def read(name):
        path = pathlib.Path(os.fsdecode(name))
        try:
            return read_image(path, shape, max_pixels, record.note)
        except ValueError as error:
            record.handle(error)
        for other in _followers(path, known):
            try:
                return read_image(other, shape, max_pixels, record.note)
            except ValueError as error:
                record.handle(error)
        raise ValueError(
            "At least one image of each folder must be readable. "
            f"Received: {path.parent}"
        )

    def decode(name):
        return tf.ensure_shape(tf.numpy_function(read, [name], tf.uint8), shape)

    known = set(paths)
    names = tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in paths])
    images = names.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return images, labels


def _followers(path, known):
    """Return the other known images of a folder, first those that follow `path`."""
    beside = sorted(p for p in known if p.parent == path.parent)
    place = beside.index(path)
    return beside[place + 1 :] + beside[:place]
