"""Logs as a table."""

import csv
import pathlib

import keras

from keras_mvssl import distribution


class MetricsCSV(keras.callbacks.Callback):
    """Writes a row of logs per epoch; what an epoch did not log stays empty.

    Keras' CSVLogger knows only the columns of the first epoch, which may come before
    the first probe. Of several processes, the first one writes.

    Args:
        path: The CSV file to write. Its folder is made.

    Example:

    ```python
    model.fit(views, callbacks=[keras_mvssl.callbacks.MetricsCSV("metrics.csv")])
    ```
    """

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.rows = []

    def on_train_begin(self, logs=None):
        if not distribution.is_chief():
            return
        pathlib.Path(self.path).parent.mkdir(parents=True, exist_ok=True)

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, **(logs or {})})
        if not distribution.is_chief():
            return
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with open(self.path, "w", newline="") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
