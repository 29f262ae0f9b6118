"""Decoding of image files, at once into memory or as a stream."""

import os
import pathlib
from typing import Literal

import numpy as np
from PIL import Image
from PIL import ImageOps

from keras_mvssl import _backend
from keras_mvssl._internal import progress

BadImagePolicy = Literal["error", "skip"]
ORIENTATION_TAG = 0x0112  # the EXIF tag of the orientation of an image


class BadImages:
    """Policy for images that cannot be read, and the record of the skipped ones.

    Args:
        policy: `"error"` or `"skip"`.

    Attributes:
        found: A line for each image that was skipped, with the reason.
    """

    def __init__(self, policy):
        self.policy = policy
        self.found = []

    def handle(self, error):
        """Raise the ValueError of an unreadable image, or record it in `found`."""
        if self.policy == "error":
            error.add_note("on_bad_image='skip' leaves such images out.")
            raise error
        if str(error) not in self.found:
            self.found.append(str(error))

    def keep_readable(self, paths):
        """Return the paths with readable headers; with `"error"`, return all paths."""
        if self.policy == "error":
            return paths  # Reading an unreadable image raises later.
        kept = []
        for path in paths:
            try:
                size_of(path)
                kept.append(path)
            except ValueError as error:
                self.handle(error)
        return kept


def size_of(path):
    """Return `(height, width)` of an image in its EXIF orientation, from the header.

    Raises:
        ValueError: If the file is no image, or the image has too many pixels.
    """
    try:
        with Image.open(path) as image:
            size = image.height, image.width
            if image.format == "PNG" and "exif" not in image.info:
                return size  # To look for EXIF data, Pillow would decode the image.
            turned = image.getexif().get(ORIENTATION_TAG, 1) >= 5
            return size[::-1] if turned else size
    except Exception as error:  # A file may hold any bytes, so any error may occur.
        raise _unreadable(path, error) from error


def read_image(path, shape):
    """Decode one image to RGB, resized (shorter side) and cropped to `shape`.

    Gray, palette, CMYK and 16-bit gray images become RGB of 8 bits. Transparency is
    dropped. The first picture of an animation is taken. The image is turned as its
    EXIF orientation says.

    Raises:
        ValueError: If the file cannot be decoded.
    """
    height, width = shape[:2]
    try:
        with Image.open(path) as image:
            image = _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # A file may hold any bytes, so any error may occur.
        raise _unreadable(path, error) from error
    if image.size != (width, height):
        scale = max(width / image.width, height / image.height)
        # The result shows this centred box of the original.
        w, h = width / scale, height / scale
        left, top = (image.width - w) / 2, (image.height - h) / 2
        image = image.resize(
            (width, height), Image.Resampling.BILINEAR, (left, top, left + w, top + h)
        )
    return np.asarray(image)


def _to_rgb(image):
    if image.mode.startswith("I;16"):
        # Pillow's own conversion would clip 16-bit values to 255.
        high = (np.asarray(image).astype("uint16") >> 8).astype("uint8")
        image = Image.fromarray(high)
    if image.mode in ("I", "F"):
        raise ValueError(f"it has more than 16 bits a channel (mode {image.mode})")
    return image.convert("RGB")


def read_array(paths, labels, shape, bad):
    """Decode images to a uint8 array of RGB.

    Args:
        paths: Paths of the N images.
        labels: `(N,)`, or None.
        shape: `(height, width, 3)` of every decoded image.
        bad: `BadImages`, which says what to do with unreadable images.

    Returns:
        The images that could be read, `(count, *shape)`, and their labels or None.
    """
    images = np.empty((len(paths), *shape), "uint8")
    good = np.ones(len(paths), bool)
    folder = os.path.commonpath([path.parent for path in paths]) or "."
    print(f"Reading {len(paths)} images from {printable(folder)}")
    bar = progress.bar(len(paths), "image")
    for index, path in enumerate(paths):
        try:
            images[index] = read_image(path, shape)
        except ValueError as error:
            bad.handle(error)
            good[index] = False
        if index % 100 == 99 or index + 1 == len(paths):
            bar.update(index + 1)
    if not good.any():
        raise ValueError(f"No image can be read. Received: {bad.found}")
    if not good.all():
        images, labels = images[good], None if labels is None else labels[good]
    return images, labels


def read_stream(paths, labels, shape, bad):
    """Return a `tf.data.Dataset` that decodes images when they are needed, and labels.

    The arguments are those of `read_array`. An image that cannot be decoded is
    replaced by the next image of its folder.
    """
    tf = _backend.tensorflow_for_data()

    def read(name):
        path = pathlib.Path(os.fsdecode(name))
        try:
            return read_image(path, shape)
        except ValueError as error:
            bad.handle(error)
        for other in _followers(path, known):
            try:
                return read_image(other, shape)
            except ValueError as error:
                bad.handle(error)
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


def printable(path):
    """Return a path as text, with a mark in place of bytes that are not UTF-8."""
    return str(path).encode("utf-8", "replace").decode("utf-8")


def _unreadable(path, error):
    return ValueError(f"An image cannot be read: {error}. Received: {path}")
