"""Checks of the pixels of images and views, at every way in."""

import collections

import numpy as np

# Fewer pixel values than this say nothing about the range of a stream.
MIN_VALUES = 1024
# A stream within [0, 1] was divided by 255 if this share of its values lies between
# the two. Nearly black batches in [0, 255] hold zeros and ones.
FRACTIONAL_SHARE = 0.05
# In fewer batches than this, the values must also reach as far as those of pictures:
# these may be the dark ones of a stream.
MANY_BATCHES = 8
LEAST_MAXIMUM, LEAST_MEAN = 0.9, 0.1


def host_array(images, name="images"):
    """Return an array that every backend takes: native byte order, no negative strides.

    Arrays of other libraries that NumPy can read (zarr, h5py, dask) are read. Tensors
    on a device, and what is no array, are returned as they are.

    Raises:
        ValueError: For masked values, and for a type that is no real number.
    """
    if isinstance(images, np.ma.MaskedArray) and np.ma.is_masked(images):
        raise ValueError(
            f"`{name}` must have no masked values. Fill them: images.filled(0). "
            f"Received: {name} with {int(np.sum(images.mask))} masked values"
        )
    if not isinstance(images, np.ndarray):
        is_array = hasattr(images, "__array__") and hasattr(images, "shape")
        if not is_array or hasattr(images, "device"):
            return images
    images = np.asarray(images)
    _check_type(images, name)
    if images.dtype.byteorder not in "=|":
        images = images.astype(images.dtype.newbyteorder("="))
    if any(stride < 0 for stride in images.strides):
        images = np.ascontiguousarray(images)
    return images


def check_pixels(images, name="images"):
    """Check that all pixels of a whole set of images are in [0, 255].

    Args:
        images: Array-like of any shape, integer or float.
        name: Name of the array in the error message.

    Raises:
        ValueError: For values outside [0, 255], values that are not finite, or float
            images that all lie within [0, 1], which are taken for a mistake.
    """
    watch = PixelWatch(name)
    watch.check(images)
    watch.finish()
    images = np.asarray(images)
    if images.size >= MIN_VALUES and images.dtype.kind in "ui" and images.max() == 1:
        raise ValueError(
            f"`{name}` are whole numbers, all 0 or 1, but pixels are expected in "
            "[0, 255]: were they divided by 255 before they were made whole? "
            "Received: maximum=1"
        )


def check_batch(images, name="images"):
    """Check the pixels of one batch, which alone may be dark."""
    PixelWatch(name).check(images)


class PixelWatch:
    """Check of the pixels of a stream, which sees its batches one after the other.

    Whether float pixels lie in [0, 1] instead of [0, 255] is judged over all that the
    watch has seen, so that no dark batch is taken for it.

    Args:
        name: Name of the stream in error messages.

    Attributes:
        errors: The last ValueErrors that were raised. Some engines of data sets raise
            another error in their place, and read on ahead of it.
    """

    def __init__(self, name="images"):
        self.name = name
        self.errors = collections.deque(maxlen=100)
        self._high, self._sum = 0.0, 0.0
        self._batches, self._values, self._fractional = 0, 0, 0

    def check(self, images):
        """Check a batch, an array-like of any shape."""
        images = np.asarray(images)
        if images.size == 0:
            return
        if images.dtype == np.uint8:
            self._high = np.inf  # Integers were not divided by 255.
            return
        try:
            self._check(images)
        except ValueError as error:
            self.errors.append(error)
            raise

    def finish_stream(self):
        """Judge the range of several batches that may not have been all."""
        if self._batches > 1:
            self.finish()

    def finish(self):
        """Judge the range of a whole set of images."""
        if 0 < self._high <= 1:
            self.errors.append(self._divided())
            raise self.errors[-1]

    def _check(self, images):
        _check_type(images, self.name)
        is_float = not np.issubdtype(images.dtype, np.integer)
        if is_float and not np.issubdtype(images.dtype, np.floating):
            images = images.astype("float32")  # bfloat16
        # In NumPy both are NaN if a value is.
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 255):
            raise ValueError(
                f"`{self.name}` must be within [0, 255] and finite, before any "
                "normalisation: the encoder normalises them itself. "
                f"Received: minimum={low:.9g}, maximum={high:.9g}"
            )
        self._high = max(self._high, high if is_float else np.inf)
        if self._high > 1:
            return
        self._batches += 1
        self._values += images.size
        self._sum += float(images.sum(dtype="float64"))
        self._fractional += int(np.count_nonzero((images > 0) & (images < 1)))
        if self._values < MIN_VALUES:
            return
        if self._fractional < FRACTIONAL_SHARE * self._values:
            return
        is_bright = self._sum >= LEAST_MEAN * self._values
        if self._batches >= MANY_BATCHES or (is_bright and self._high > LEAST_MAXIMUM):
            raise self._divided()

    def _divided(self):
        return ValueError(
            f"`{self.name}` are float and all within [0, 1], but pixels are expected "
            "in [0, 255]. Multiply them by 255. "
            f"Received: maximum={self._high:g}"
        )


def _check_type(images, name):
    known = images.dtype.kind in "uif" or images.dtype.name == "bfloat16"
    if not known:
        raise ValueError(
            f"`{name}` must be numbers in [0, 255]. Received: dtype={images.dtype}"
        )
