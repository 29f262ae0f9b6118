"""Logs that stay on the device until their values are read."""

import keras
import numpy as np

from keras_mvssl import _backend


class LazyLogs(dict):
    """Logs of a step from Keras, whose values become floats when first read."""

    _fetched = False

    def fetch(self):
        """Turn all values into floats, for which the device must finish its work."""
        if not self._fetched:
            self._fetched = True
            for name, value in super().items():
                if keras.ops.is_tensor(value) or isinstance(value, np.generic):
                    super().__setitem__(name, float(_backend.value_of(value)))

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
