"""Callback that writes the logs as a table."""

import csv
import os
import pathlib

import keras

from keras_mvssl import distribution
from keras_mvssl._internal.files import atomic_write
from keras_mvssl._internal.files import warn_on_error


class MetricsCSV(keras.callbacks.Callback):
    """Callback that writes the logs of each epoch as a row of a CSV file.

    Cells of entries that an epoch did not log stay empty; Keras' CSVLogger, in
    contrast, has only the columns of the first epoch, which may come before the first
    probe. Among several processes, the first one writes. A full disk gives a warning;
    its rows are kept, and written together with the next row.

    Args:
        path: The CSV file to write. Its folder is made.

    Attributes:
        rows: The rows so far, a list of dicts.

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
        self._write()  # Removes the rows of epochs that are trained again.

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self.rows.append({"epoch": epoch + 1, **logs})
        self._write()

    def _write(self):
        if not distribution.is_chief():
            return
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with (
            warn_on_error(self.path),
            atomic_write(self.path) as path,
            open(path, "w", newline="") as file,
        ):
            writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
