"""Callback that writes the logs as a table."""

import csv
import os
import warnings

import keras

from keras_mvssl import distribution
from keras_mvssl._internal.files import atomic_write
from keras_mvssl._internal.files import local_path
from keras_mvssl._internal.files import warn_on_error
from keras_mvssl.callbacks.lazy_logs import numbers_in


class MetricsCSV(keras.callbacks.Callback):
    """Callback that writes the logs of each epoch as a row of a CSV file.

    Cells of entries that an epoch did not log stay empty; Keras' CSVLogger, in
    contrast, has only the columns of the first epoch, which may come before the first
    probe. Entries that are no single numbers are left out, with a warning at the first
    one. Among several processes, the first one writes. A full disk gives a warning; its
    rows are kept, and written together with the next row.

    Args:
        path: The CSV file to write. Its folder is made.

    Attributes:
        rows: The rows so far, a list of dicts.

    Raises:
        ValueError: For a path of another scheme, such as a bucket.

    Example:
    ```python
    metrics = keras_mvssl.callbacks.MetricsCSV("metrics.csv")
    model.fit(stream, epochs=10, callbacks=[metrics])
    ```
    """

    def __init__(self, path: str | os.PathLike) -> None:
        super().__init__()
        self.path = local_path(path, "path")
        self.rows = []
        self._has_warned = False

    def get_state(self):
        return self.rows

    def set_state(self, state):
        self.rows = [numbers_in(row) | {"epoch": int(row["epoch"])} for row in state]
        self._write()  # Removes the rows of epochs that are trained again.

    def on_epoch_end(self, epoch, logs=None):
        found = numbers_in(logs)
        left_out = sorted(set(logs or {}) - set(found))
        if left_out and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"{self.path} has columns of numbers. Left out: {', '.join(left_out)}",
                stacklevel=2,
            )
        self.rows.append({"epoch": epoch + 1, **found})
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
