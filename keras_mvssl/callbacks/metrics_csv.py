"""Logs as a table."""

import csv

import keras


class MetricsCSV(keras.callbacks.Callback):
    """Writes a row of logs per epoch; what an epoch did not log stays empty.

    Keras' CSVLogger knows only the columns of the first epoch, which may come before
    the first probe.

    Args:
        path: The CSV file to write.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, **(logs or {})})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with open(self.path, "w", newline="") as file:
            writer = csv.DictWriter(file, names, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
