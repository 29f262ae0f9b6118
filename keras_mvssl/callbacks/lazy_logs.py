"""Logs that stay on the device until someone reads them."""

import keras
import numpy as np

from keras_mvssl import _backend


class LazyLogs(dict):
    """The logs of a step as Keras gives them, whose values turn to floats when read."""

    _fetched = False

    def fetch(self):
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
        # With one of its own, `dict(logs)` goes through the methods above.
        return super().__iter__()

    def __repr__(self):
        self.fetch()
        return super().__repr__()

    def copy(self):
        return dict(self)
