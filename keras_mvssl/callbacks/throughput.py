"""Callback that measures the speed of training."""

import time
from typing import Any

import keras

from keras_mvssl import _backend


class Throughput(keras.callbacks.Callback):
    """Callback that logs views seen, seconds, views per second and learning rate.

    Seconds are those of training steps and of waiting for data; probes and other work
    at the end of epochs are left out. List the callback before those that should see
    its entries in the logs.

    With `stream`, the entry `data_wait` is the share of the seconds in which training
    waited for the next batch, in [0, 1]. Devices that keep working while Python waits
    (GPUs, JAX) lose less time than this share; with `steps_per_execution`, only the
    last wait of each execution is counted.

    Args:
        views_per_step: int. Images in a batch times views of each image; all batches
            are taken to be of one size.
        stream: Optional stream that `fit` is given, from `data.multiview` or
            `data.batches`.

    Attributes:
        views_seen: Number of views so far.
        seconds: Seconds so far.

    Example:
    ```python
    speed = keras_mvssl.callbacks.Throughput(views_per_step=256 * 4, stream=stream)
    metrics = keras_mvssl.callbacks.MetricsCSV("metrics.csv")
    model.fit(stream, epochs=10, callbacks=[speed, metrics])
    ```
    """

    def __init__(self, views_per_step: int, stream: Any = None) -> None:
        super().__init__()
        self.stream = stream
        self.views_per_step = views_per_step
        self.views_seen = 0
        self.seconds = 0.0
        # Times of the epoch's start and the last step's end; seconds waited for data.
        self._start = self._end = self._waited = 0.0
        # Seconds, and seconds waited, of the epoch before training was interrupted.
        self._carried = 0.0, 0.0

    def get_state(self):
        return {
            "views_seen": self.views_seen,
            "seconds": self.seconds,
            "of_epoch": [self._end - self._start, self._waited],
        }

    def set_state(self, state):
        self.views_seen = int(state["views_seen"])
        self.seconds = float(state["seconds"])
        seconds, waited = state["of_epoch"]
        self._carried = float(seconds), float(waited)

    def leave_out(self, seconds: float) -> None:
        """Leave some seconds that have passed since the last step out of the count."""
        self._start += seconds
        self._end += seconds

    def on_epoch_begin(self, epoch, logs=None):
        self._steps = 0
        self._end = self._begin = time.perf_counter()
        self._start, self._waited = self._end - self._carried[0], self._carried[1]
        self._carried = 0.0, 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self._begin = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        # `batch` is the last of an execution, which may reach beyond the epoch's end.
        self._steps = min(batch + 1, self.params.get("steps") or batch + 1)
        # Where Keras takes the batch within its step, the batch came after the start.
        came = max(self._begin, getattr(self.stream, "delivered", 0.0))
        self._waited += came - self._end
        self._end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds, views = self._end - self._start, self._steps * self.views_per_step
        self.seconds += seconds
        self.views_seen += views
        logs["views_seen"] = self.views_seen
        logs["seconds"] = round(self.seconds, 3)
        logs["views_per_second"] = round(views / max(seconds, 1e-9), 1)
        if self.stream is not None:
            logs["data_wait"] = round(self._waited / max(seconds, 1e-9), 4)
        rate = self.model.optimizer.learning_rate
        self._start = self._end
        self._waited = 0.0
        logs["learning_rate"] = float(_backend.value_of(rate))
