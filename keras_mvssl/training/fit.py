"""Training that can be stopped at any step and resumed with the same result."""

import contextlib
import time
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import keras

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.output import output_may_fail
from keras_mvssl.callbacks import Checkpoint
from keras_mvssl.callbacks import Throughput
from keras_mvssl.callbacks.carried import Carried
from keras_mvssl.callbacks.carried import check_callbacks
from keras_mvssl.callbacks.interrupted import Interrupted
from keras_mvssl.callbacks.lazy_logs import LazyLogs
from keras_mvssl.callbacks.lazy_logs import numbers_in
from keras_mvssl.callbacks.probe import check_counts
from keras_mvssl.training.stopping import stop_after_the_step

__all__ = ["Interrupted", "fit"]

# Seconds between looks at the logs of a step.
LOG_INTERVAL = 0.5


@output_may_fail()
def fit(
    model: keras.Model,
    make_stream: Callable[[int], Any],
    epochs: int,
    steps_per_epoch: int,
    checkpoint: Checkpoint,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> int:
    """Train like `model.fit`, from the step at which a `Checkpoint` was left.

    Weights and logs are equal to the last bit to those of an uninterrupted training,
    where the stream is a function of its step, as the streams of `keras_mvssl.data`
    are, and the backend computes the same result twice.

    At SIGTERM, SIGINT (Ctrl-C) or SIGHUP, the current step ends, its state is saved and
    `Interrupted` is raised, which ends a script with code 75. A second signal, at least
    a second later, ends the process at once with the same code; checkpoints stay whole.
    Signals that are ignored, as SIGHUP is under `nohup`, stay ignored.

    Args:
        model: A compiled `MultiViewModel`, built in the same way at each start.
        make_stream: Function from a number of steps to a stream that begins after so
            many steps: `lambda step: data.multiview(images, views, 256,
            start_step=step)`.
        epochs: int. Epochs of the whole training, earlier starts included.
        steps_per_epoch: int, a multiple of the model's `steps_per_execution`.
        checkpoint: A `callbacks.Checkpoint`.
        callbacks: The other callbacks. Keras' own and those of this package go on with
            what they remember, and so do others with `get_state()`, whose result JSON
            can hold, and `set_state(state)`. Others without begin anew, which is said.
            A training that a callback has ended stays ended.
        verbose: Same as in `keras.Model.fit`.

    Returns:
        The number of steps that earlier starts had made. The logs of all epochs are in
        a `MetricsCSV`.

    Raises:
        ValueError: For counts below 1, a checkpoint of another model, optimizer, loss
            or length of epochs, or of which none is whole; for a BackupAndRestore, and
            a CSVLogger that would empty its file.
        Interrupted: When a signal stops the training.
        DivergenceError: For weights that are not finite.

    Example:
    ```python
    csv = keras_mvssl.callbacks.MetricsCSV("run/metrics.csv")
    checkpoint = keras_mvssl.callbacks.Checkpoint("run/checkpoint", state={"csv": csv})
    keras_mvssl.training.fit(model, make_stream, 10, 500, checkpoint, callbacks=[csv])
    ```
    """
    check_counts(epochs=epochs, steps_per_epoch=steps_per_epoch)
    if steps_per_epoch % model.steps_per_execution:
        raise ValueError(
            f"`steps_per_epoch` must be a multiple of the {model.steps_per_execution} "
            f"steps of an execution. Received: steps_per_epoch={steps_per_epoch}"
        )
    # Keras applies these caps for trials inside `fit`, where they would not be seen.
    epochs = min(epochs, keras.config.max_epochs() or epochs)
    most = keras.config.max_steps_per_epoch() or steps_per_epoch
    steps_per_epoch = min(steps_per_epoch, most)
    callbacks = list(callbacks)
    check_callbacks(callbacks)
    carried = Carried(callbacks, others=checkpoint.state.values())
    checkpoint.carried = carried
    model.optimizer.build(model.trainable_variables)
    start, when_begun = checkpoint.restore(model, steps_per_epoch)
    if start:
        print(f"Going on after step {start}{_what_is_not_carried_over(carried)}")
    end = epochs * steps_per_epoch
    begin = end if checkpoint.is_over else min(start, end)
    epoch, step = divmod(begin, steps_per_epoch)
    callbacks = _CallbackList(
        [*callbacks, checkpoint, *([_Bar()] if verbose != 0 else [])],
        add_history=True,
        model=model,
        verbose=verbose,
        epochs=epochs,
        steps=steps_per_epoch,
    )
    callbacks.checkpoint = checkpoint
    if start:
        callbacks.when_begun = when_begun
    callbacks.is_finished = begin == end

    def run(start, epochs, steps):
        stream = make_stream(start)
        for callback in callbacks.callbacks:
            if isinstance(callback, Throughput) and callback.stream is not None:
                callback.stream = stream
        model.fit(
            stream,
            initial_epoch=start // steps_per_epoch,
            epochs=epochs,
            steps_per_epoch=steps,
            callbacks=callbacks,
            verbose=verbose,
        )

    with (
        stop_after_the_step(checkpoint),
        _finalized_at_the_end(model.optimizer, callbacks),
    ):
        if step:
            # Keras cannot begin in the middle of an epoch: train an epoch of the steps
            # that are left.
            callbacks.seen, callbacks.is_last = step, epoch + 1 == epochs
            callbacks.restore = checkpoint.restore_metrics
            run(begin, epoch + 1, steps_per_epoch - step)
            checkpoint.keep_random_state()
            epoch += 1
            callbacks.is_last |= model.stop_training
        if not callbacks.is_last or not step:
            callbacks.seen, callbacks.is_last = 0, True
            run(epoch * steps_per_epoch, epochs, steps_per_epoch)
        checkpoint.stop_if_asked()  # A signal may have come after the last step.
    return start


class _CallbackList(keras.callbacks.CallbackList):
    """Callbacks of one training that Keras runs in one or two parts.

    Attributes:
        checkpoint: The `Checkpoint` among the callbacks.
        seen: Steps of the epoch that were made before this part.
        is_last: Whether this part ends the training.
        is_finished: Whether the last epoch has ended.
        restore: Function to call when Keras has reset the metrics of the first epoch.
        when_begun: Function to call when the callbacks of a training that goes on have
            begun; None for a new one.
    """

    seen = 0
    is_last = True
    is_finished = False
    _looked_at = 0.0
    restore: Callable[[], Any] | None = None
    when_begun: Callable[[], Any] | None = None
    _has_begun = False

    def on_train_begin(self, logs=None):
        if self._has_begun:
            return
        self._has_begun = True
        if self.when_begun is None:
            super().on_train_begin(logs)
            return
        with _unchanged(self._model):
            super().on_train_begin(logs)
        self.when_begun()

    def on_train_end(self, logs=None):
        if self.is_last or self._model.stop_training:
            super().on_train_end(logs)

    def on_epoch_begin(self, epoch, logs=None):
        if self.restore is None:
            super().on_epoch_begin(epoch, logs)
            return
        self.restore()
        self.restore = None
        # The epoch has begun before, and what that did is in the checkpoint.
        with _unchanged(self._model):
            super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.is_finished = epoch + 1 == self.params["epochs"]
        self.is_finished |= self._model.stop_training

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch + self.seen, logs)

    def on_train_batch_end(self, batch, logs=None):
        # Keras fetches the logs of each step, so that a GPU waits for Python. Here logs
        # stay on the device, except every LOG_INTERVAL and before a checkpoint.
        batch += self.seen
        logs = LazyLogs(sorted((logs or {}).items()))
        looks = self.checkpoint.decide(batch) or batch + 1 >= self.params["steps"]
        looks |= time.monotonic() >= self._looked_at + LOG_INTERVAL
        # Processes must do the same, but their clocks differ.
        if looks or distribution.processes()[1] > 1 or distribution.saves_together():
            logs = dict(logs)
            self._looked_at = time.monotonic()
        for callback in self.callbacks:
            is_bar = isinstance(callback, keras.callbacks.ProgbarLogger)
            if not (is_bar and isinstance(logs, LazyLogs)):
                callback.on_train_batch_end(batch, logs)


def _what_is_not_carried_over(carried):
    text = ""
    if carried.anew:
        text += f". These callbacks begin anew: {carried.anew}"
    if carried.left:
        text += f". Callbacks of the checkpoint that are not there: {carried.left}"
    return text


@contextlib.contextmanager
def _unchanged(model):
    """Put the weights, the learning rate and all else of a training back."""
    variables = [*model.variables, *model.optimizer.variables]
    before = [_backend.value_of(x).copy() for x in variables]
    yield
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)


@contextlib.contextmanager
def _finalized_at_the_end(optimizer, callbacks):
    """Let an optimizer end its work, such as averaging weights, with the training.

    Keras has it do so at the end of each `fit`, which here may be within an epoch.
    """
    finalize = optimizer.finalize_variable_values

    def finalize_variable_values(variables):
        if callbacks.is_finished:
            finalize(variables)

    optimizer.finalize_variable_values = finalize_variable_values
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


class _Bar(keras.callbacks.ProgbarLogger):
    """Progress bar of the numbers in logs: Keras' own fails where there are texts."""

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, numbers_in(logs))

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, numbers_in(logs))
