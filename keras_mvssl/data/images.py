"""Image files, decoded: at once into memory, or as they are needed."""

import os
import pathlib
from typing import Literal

import numpy as np
from PIL import Image
from PIL import ImageOps

from keras_mvssl import _backend
from keras_mvssl._internal import progress

BadImagePolicy = Literal["error", "skip"]
ORIENTATION = 0x0112  # the EXIF tag


class BadImages:
    """What is done about images that cannot be read.

    Args:
        policy: `"error"` or `"skip"`.

    Attributes:
        found: A line for each that was skipped, with the reason.
    """

    def __init__(self, policy):
        self.policy = policy
        self.found = []

    def meet(self, error):
        """Raises an error, a ValueError, or notes it."""
        if self.policy == "error":
            error.add_note("on_bad_image='skip' leaves such images out.")
            raise error
        if str(error) not in self.found:
            self.found.append(str(error))

    def leave_out(self, paths):
        """Without those that cannot be opened, where they are to be skipped."""
        if self.policy == "error":
            return paths  # They are met when they are read.
        kept = []
        for path in paths:
            try:
                size_of(path)
                kept.append(path)
            except ValueError as error:
                self.meet(error)
        return kept


def size_of(path):
    """`(height, width)` of an image as it is meant to be seen, from its header.

    Raises:
        ValueError: For a file that is no image, or one of too many pixels.
    """
    try:
        with Image.open(path) as image:
            size = image.height, image.width
            if image.format == "PNG" and "exif" not in image.info:
                return size  # Pillow would decode all of it to look further.
            return size[::-1] if image.getexif().get(ORIENTATION, 1) >= 5 else size
    except Exception as error:  # Any bytes may lie there.
        raise _unreadable(path, error) from error


def read_image(path, shape):
    """Decodes one image to RGB, resized (shorter side) and cropped to `shape`.

    Gray, palette, CMYK and 16-bit gray images become RGB of 8 bits; what is transparent
    loses its transparency; of animations the first picture is taken; an orientation in
    EXIF is followed.

    Raises:
        ValueError: For a file that cannot be decoded.
    """
    height, width = shape[:2]
    try:
        with Image.open(path) as image:
            image = _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # Any bytes may lie there.
        raise _unreadable(path, error) from error
    if image.size != (width, height):
        scale = max(width / image.width, height / image.height)
        # The box of the original that fills the result.
        w, h = width / scale, height / scale
        left, top = (image.width - w) / 2, (image.height - h) / 2
        image = image.resize(
            (width, height), Image.Resampling.BILINEAR, (left, top, left + w, top + h)
        )
    return np.asarray(image)


def _to_rgb(image):
    if image.mode.startswith("I;16"):
        # Pillow would clip them.
        high = (np.asarray(image).astype("uint16") >> 8).astype("uint8")
        image = Image.fromarray(high)
    if image.mode in ("I", "F"):
        raise ValueError(f"it has more than 16 bits a channel (mode {image.mode})")
    return image.convert("RGB")


def read_array(paths, labels, shape, bad):
    """Decodes images to RGB, uint8 `(N, *shape)`.

    Args:
        paths: Their paths.
        labels: `(N,)`, or None.
        shape: `(height, width, 3)`.
        bad: `BadImages`.

    Returns:
        The images, and the labels of those that could be read.
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
            bad.meet(error)
            good[index] = False
        if index % 100 == 99 or index + 1 == len(paths):
            bar.update(index + 1)
    if not good.any():
        raise ValueError(f"No image can be read. Received: {bad.found}")
    if not good.all():
        images, labels = images[good], None if labels is None else labels[good]
    return images, labels


def read_stream(paths, labels, shape, bad):
    """As `read_array`, a `tf.data.Dataset` that decodes images as they are needed.

    The place of one that cannot be decoded is taken by the next in its folder.
    """
    tf = _backend.tensorflow_for_data()

    def read(name):
        path = pathlib.Path(os.fsdecode(name))
        try:
            return read_image(path, shape)
        except ValueError as error:
            bad.meet(error)
        for other in _followers(path, known):
            try:
                return read_image(other, shape)
            except ValueError as error:
                bad.meet(error)
        raise ValueError(f"No image of the folder can be read. Received: {path.parent}")

    def decode(name):
        return tf.ensure_shape(tf.numpy_function(read, [name], tf.uint8), shape)

    known = set(paths)
    names = tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in paths])
    images = names.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return images, labels


def _followers(path, known):
    """The other images of a folder, from one on, in a circle."""
    beside = sorted(p for p in known if p.parent == path.parent)
    place = beside.index(path)
    return beside[place + 1 :] + beside[:place]


def printable(path):
    """A path as text, with a mark for bytes that are none."""
    return str(path).encode("utf-8", "replace").decode("utf-8")


def _unreadable(path, error):
    return ValueError(f"An image cannot be read: {error}. Received: {path}")
