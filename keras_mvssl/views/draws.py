"""The random numbers of views, each a function of its place alone."""

import functools
import numbers
import sys
import zlib

import keras
import numpy as np
from keras import ops


class Draws:
    """Uniform random numbers of the views of one step.

    A number is a function of (seed, step, place of the image, view, name), computed
    with 32-bit integers that are the same on every backend and device, compiled or not.
    Other names, views or images change none of it. There is no random state, and
    nothing is read from the device.

    The five are combined by a mixing function of integers, lowbias32 (Wellons, 2018),
    which changes half of the bits of its result, on average, when one bit of its
    argument changes. The words of a seed are from `numpy.random.SeedSequence`.

    Args:
        seed: int from 0 to 2**63 - 1.
        step: int scalar from 0 to 2**63 - 1. Step of training.
        places: int32 or int64 tensor `(B,)`. Places of the images in the whole batch.
        views: int. Views of each image.

    Example:
    ```python
    draws = Draws(seed=0, step=10, places=ops.arange(256, dtype="int32"), views=4)
    angle = 360 * draws("angle")  # (256, 4)
    ```

    Reference: Wellons, "Prospecting for Hash Functions" (2018),
    https://nullprogram.com/blog/2018/07/31/
    """

    def __init__(self, seed, step, places, views):
        self._views = views
        first, second, third, fourth = _words(seed)
        step, upper = _halves(step)
        # With one word of a step, two steps could have the same numbers, shifted by
        # some places.
        one, other = _mix(step ^ first) + second, _mix(step ^ third) + fourth
        if upper is not None:  # 0 changes nothing.
            one, other = one + _mix(upper), other + _mix(_mix(upper))
        lower, upper = _halves(places)
        one = one if upper is None else one + _mix(upper)
        place = _mix(_mix(lower + one) ^ other)
        self._rows = ops.expand_dims(place, -1)

    def __call__(self, name):
        """Return the numbers of a name, float32 `(B, V)` in [0, 1)."""
        return self.all((name,))[0]

    def all(self, names):
        """Return the numbers of several names, float32 `(names, B, V)` in [0, 1)."""
        constants = ops.convert_to_tensor(
            _constants(tuple(names), self._views), "int32"
        )
        upper = _shift_right(_mix(self._rows ^ constants), 8)
        return ops.cast(upper, "float32") * 2.0**-24


def _mix(x):
    """Mix the bits of int32 words: lowbias32, on signed words that wrap.

    Operators take the constants as they are, where `keras.ops` would copy each of them
    to the device.
    """
    x = (x ^ _shift_right(x, 16)) * 0x7FEB352D
    x = (x ^ _shift_right(x, 15)) * (0x846CA68B - 2**32)
    return x ^ _shift_right(x, 16)


def _shift_right(x, bits):
    """Shift int32 words to the right, with zeros from the left."""
    return (x // 2**bits) & (2 ** (32 - bits) - 1)  # `//` rounds down


def _halves(number):
    """Split an int of up to 64 bits into int32 words: the lower, and the upper or None.

    Narrower tensors have no upper word.
    """
    if isinstance(number, numbers.Integral):
        if number < 2**31:
            return ops.cast(number, "int32"), None
        words = np.array([number], "int64").view("int32")
        lower, upper = words if sys.byteorder == "little" else words[::-1]
        return ops.cast(lower, "int32"), ops.cast(upper, "int32")
    is_wide = keras.backend.standardize_dtype(number.dtype).endswith("int64")
    upper = ops.cast(ops.cast(number, "int64") // 2**32, "int32") if is_wide else None
    return ops.cast(number, "int32"), upper


def whole_number(number, name):
    """Return a number as an int, or a tensor unread, as `Draws` takes them.

    Args:
        number: A number, a scalar tensor or None.
        name: Name of the number in the error message.

    Raises:
        ValueError: For a number that is no int from 0 to 2**63 - 1, or a tensor of
            another type than int.
    """
    if isinstance(number, np.ndarray) and number.ndim == 0:
        number = number[()]
    if hasattr(number, "dtype") and not isinstance(number, np.generic):
        if "int" not in keras.backend.standardize_dtype(number.dtype):
            raise ValueError(
                f"`{name}` must be of an int type. Received: {name}={number}"
            )
        return number
    if number is None:
        return None
    if not isinstance(number, numbers.Integral) or not 0 <= number < 2**63:
        raise ValueError(
            f"`{name}` must be an int from 0 to 2**63 - 1. Received: {name}={number!r}"
        )
    return int(number)


def check_place(images, offset, batch_size, views):
    """Check that images lie within the whole batch, where the numbers are known."""
    offset = 0 if offset is None else offset
    count = images.shape[0] if getattr(images, "shape", None) else None
    if not all(isinstance(x, numbers.Integral) for x in (offset, count)):
        return
    known = isinstance(batch_size, numbers.Integral)
    whole = batch_size if known else offset + count
    if not offset + count <= whole < 2**31 / views:
        raise ValueError(
            f"The {count} images must lie within the whole batch, of fewer than 2**31 "
            f"views. Received: offset={offset}, batch_size={batch_size}"
        )


@functools.lru_cache(maxsize=64)
def _words(seed):
    words = np.random.SeedSequence(seed).generate_state(4)
    return [int(word) for word in words.view("int32")]


@functools.lru_cache(maxsize=64)
def _constants(names, views):
    """Return a random word for each name and view, int32 `(names, 1, V)`."""
    words = [
        [np.random.SeedSequence([zlib.crc32(name.encode()), view]).generate_state(1)]
        for name in names
        for view in range(views)
    ]
    return np.array(words).view("int32").reshape(len(names), 1, views)
