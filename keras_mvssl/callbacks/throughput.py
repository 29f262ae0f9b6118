"""How fast training goes."""

import time

import keras


class Throughput(keras.callbacks.Callback):
    """Adds views seen, seconds, views per second and learning rate to the logs.

    Seconds are those of training steps and of waiting for data; probes and other work
    at the end of epochs are left out. List it before the callbacks that should see
    what it adds.

    Args:
        views_per_step: int. Images in a batch times views of each.

    Attributes:
        views_seen: Views so far.
        seconds: Seconds so far.

    Example:

    ```python
    model.fit(views, epochs=10, callbacks=[Throughput(256 * 4), MetricsCSV("log.csv")])
    ```
    """

    def __init__(self, views_per_step):
        super().__init__()
        self.views_per_step = views_per_step
        self.views_seen = 0
        self.seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._steps = 0
        self._start = self._end = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._steps = batch + 1  # `batch` is the last one of an execution.
        self._end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds, views = self._end - self._start, self._steps * self.views_per_step
        self.seconds += seconds
        self.views_seen += views
        logs["views_seen"] = self.views_seen
        logs["seconds"] = round(self.seconds, 3)
        logs["views_per_second"] = round(views / max(seconds, 1e-9), 1)
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
