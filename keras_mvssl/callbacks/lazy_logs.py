"""Logs that stay on the device until their values are read, and their numbers."""

import contextlib
import numbers

import keras
import numpy as np

from keras_mvssl import _backend


class LazyLogs(dict):
    """Logs of a step from Keras, whose values become floats when first read.

    Values of several numbers, such as an F1 score of each class, become arrays.
    """

    _fetched = False

    def fetch(self):
        """Turn all values into floats, for which the device must finish its work."""
        if not self._fetched:
            self._fetched = True
            for name, value in super().items():
                if keras.ops.is_tensor(value) or isinstance(value, np.generic):
                    found = number(value)
                    value = _backend.value_of(value) if found is None else found
                    super().__setitem__(name, value)

    def __getitem__(self, name):
        self.fetch()
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.fetch()
        return super().get(name, default)

    def items(self):
        self.fetch()
        return super().items()

    def values(self):
        self.fetch()
        return super().values()

    def __iter__(self):
        # Where a subclass defines this, `dict(logs)` goes through the methods above.
        return super().__iter__()

    def __repr__(self):
        self.fetch()
        return super().__repr__()

    def copy(self):
        return dict(self)


def number(value):
    """Return a value of logs as a float, or None for what is no single number."""
    if isinstance(value, keras.KerasTensor):
        return None
    with contextlib.suppress(OverflowError, TypeError, ValueError):
        if keras.ops.is_tensor(value) or isinstance(value, keras.Variable):
            if keras.backend.standardize_dtype(value.dtype) == "bfloat16":
                value = keras.ops.cast(value, "float32")  # TensorFlow's 0-d ones fail.
            value = _backend.value_of(value)
        if isinstance(value, (np.ndarray, np.generic)):
            # Neither texts nor dates nor complex numbers, of which `float` takes some.
            if value.ndim or value.dtype.kind in "OSUMmc":
                return None
            return float(value)
        if isinstance(value, numbers.Real):
            return float(value)
    return None


def numbers_in(logs):
    """Return the entries of logs that are single numbers, as floats."""
    found = {name: number(value) for name, value in (logs or {}).items()}
    return {name: value for name, value in found.items() if value is not None}
