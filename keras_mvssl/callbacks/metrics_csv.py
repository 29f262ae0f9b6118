"""Logs as a table."""

import csv
import os
import pathlib

import keras

from keras_mvssl import distribution
from keras_mvssl._internal.files import or_warn
from keras_mvssl._internal.files import whole


class MetricsCSV(keras.callbacks.Callback):
    """Writes a row of logs per epoch; what an epoch did not log stays empty.

    Keras' CSVLogger knows only the columns of the first epoch, which may come before
    the first probe. Of several processes, the first one writes. A disk that is full is
    a warning: the rows are kept, and written with the next one.

    Args:
        path: The CSV file to write. Its folder is made.

    Attributes:
        rows: The rows so far, dicts.

    Example:

    ```python
    metrics = keras_mvssl.callbacks.MetricsCSV("metrics.csv")
    model.fit(stream, epochs=10, callbacks=[metrics])
    ```
    """

    def __init__(self, path: str | os.PathLike) -> None:
        super().__init__()
        self.path = pathlib.Path(path)
        self.rows = []

    def get_state(self):
        return self.rows

    def set_state(self, state):
        self.rows = list(state)
        self._write()  # without rows of epochs that are trained again

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self.rows.append({"epoch": epoch + 1, **logs})
        self._write()

    def _write(self):
        if not distribution.is_chief():
            return
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with (
            or_warn(self.path),
            whole(self.path) as path,
            open(path, "w", newline="") as file,
        ):
            writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
