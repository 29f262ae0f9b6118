"""The random numbers of views, each a function of its place alone."""

import functools
import zlib

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
        step: int scalar below 2**31. Step of training.
        places: int32 tensor `(B,)`. Places of the images in the whole batch.
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
        step = ops.cast(step, "int32")
        # With one word of a step, two steps could have the same numbers, shifted by
        # some places.
        one, other = _mix(step ^ first) + second, _mix(step ^ third) + fourth
        place = _mix(_mix(ops.cast(places, "int32") + one) ^ other)
        self._rows = ops.expand_dims(place, -1)

    def __call__(self, name):
        """Return the numbers of a name, float32 `(B, V)` in [0, 1)."""
        return self.all((name,))[0]

    def all(self, names):
        """Return the numbers of several names, float32 `(names, B, V)` in [0, 1)."""
        constants = ops.convert_to_tensor(_constants(tuple(names), self._views))
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
