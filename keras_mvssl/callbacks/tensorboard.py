"""Logs for TensorBoard, on every backend."""

import os

import keras


class TensorBoard(keras.callbacks.Callback):
    """Writes the logs of every epoch for TensorBoard.

    Keras' callback of this name needs TensorFlow; this one uses the event writer of
    the `tensorboard` package. List it after the callbacks whose results it should
    show.

    Args:
        log_dir: Folder to write to.

    Example:

    ```python
    model.fit(views, epochs=10, callbacks=[probe, TensorBoard("logs")])
    # tensorboard --logdir logs
    ```
    """

    def __init__(self, log_dir):
        super().__init__()
        self.log_dir = os.fspath(log_dir)
        self._writer = None

    def on_train_begin(self, logs=None):
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(self.log_dir)

    def on_epoch_end(self, epoch, logs=None):
        self._write(dict(logs or {}), step=int(self.model.optimizer.iterations))

    def on_train_end(self, logs=None):
        self._writer.close()

    def _write(self, scalars, step):
        import time

        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=tag, simple_value=float(value))
            for tag, value in scalars.items()
        ]
        self._writer.add_event(
            Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        )
        self._writer.flush()
