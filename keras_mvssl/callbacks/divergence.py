"""Callback that ends a training whose loss is no longer finite."""

import math

import keras
import numpy as np

from keras_mvssl import _backend
from keras_mvssl.callbacks.lazy_logs import LazyLogs
from keras_mvssl.callbacks.lazy_logs import number
from keras_mvssl.callbacks.lazy_logs import numbers_in
from keras_mvssl.evaluation.batch_statistics import steps_of


class StopOnDivergence(keras.callbacks.Callback):
    """Callback that ends training when a loss is not finite, and names the step.

    In `training.fit`, training ends a little later: to not let the device wait for
    Python, losses are read only twice a second and before each checkpoint. With the
    loss scale of float16, steps whose gradients overflow are skipped, by which the
    scale is found; these steps are counted in `logs["skipped_steps"]`, and are no
    divergence. List the callback before `Checkpoint`, so that a training that has
    diverged is not saved.

    Raises:
        DivergenceError: From `fit`, with the step, the learning rate, the last finite
            terms of the loss, and what to try.

    Example:
    ```python
    model.fit(stream, callbacks=[keras_mvssl.callbacks.StopOnDivergence()])
    ```
    """

    def __init__(self) -> None:
        super().__init__()
        self._last_finite = {}
        self._unseen = []  # (batch, logs) of steps whose loss was not read yet
        # Steps that were made and steps that were skipped; the counter of the optimizer
        # when training began.
        self._steps, self._skipped, self._counter = 0, 0, None
        self._first = 0

    def get_state(self):
        return {"skipped_steps": self._count_skipped()}

    def set_state(self, state):
        self._skipped, self._counter = int(state["skipped_steps"]), None

    def on_train_begin(self, logs=None):
        if self._counter is not None:  # an earlier training
            self._skipped = 0
        self._steps, self._counter = 0, self._count()

    def on_train_batch_begin(self, batch, logs=None):
        self._first = batch

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._last_finite, self._unseen = {}, []

    def on_train_batch_end(self, batch, logs=None):
        self._steps += batch - self._first + 1
        self._unseen.append((batch, logs))
        if isinstance(logs, LazyLogs):
            return
        # Logs are running means of the epoch: once not finite, they stay so.
        if not _is_finite(logs):
            self._stop()
        self._last_finite, self._unseen = logs, []

    def _stop(self):
        batch, logs = next(x for x in self._unseen if not _is_finite(x[1]))
        before = [self._last_finite, *(x for i, x in self._unseen if i < batch)][-1]
        steps = self.params.get("steps") or 0
        rate = float(_backend.value_of(self.model.optimizer.learning_rate))
        terms = ", ".join(f"{name} {x:.4g}" for name, x in numbers_in(before).items())
        raise DivergenceError(
            f"The loss is not finite after step {self._epoch * steps + batch + 1}, at "
            f"a learning rate of {rate:.3g}. Means of this epoch before it: "
            f"{terms or 'none'}. Try a lower learning rate, a longer warm-up, a "
            "smaller `beta`, larger batches, or bfloat16 instead of float16. "
            f"Received: loss={logs['loss']}"
        )

    def on_epoch_end(self, epoch, logs=None):
        if self._counts():
            logs["skipped_steps"] = self._count_skipped()

    def _counts(self):
        return isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer)

    def _count(self):
        """Return how many steps the optimizer has made and not skipped."""
        return steps_of(self.model.optimizer) if self._counts() else 0

    def _count_skipped(self):
        if self._counter is None or not self._counts():
            return self._skipped
        return self._skipped + self._steps - (self._count() - self._counter)


def _is_finite(logs):
    loss = number((logs or {}).get("loss"))  # A model may log none, or one per task.
    return loss is None or math.isfinite(loss)


class DivergenceError(ArithmeticError):
    """Error of a training whose loss or variables became infinite or NaN.

    Example:
    ```python
    watch = keras_mvssl.callbacks.StopOnDivergence()
    try:
        model.fit(stream, epochs=10, callbacks=[watch])
    except keras_mvssl.callbacks.DivergenceError as error:
        print(error)
    ```
    """


def check_finite(model, step):
    """Check that all variables of a model and of its optimizer are finite.

    Raises:
        DivergenceError: With the name of the first variable that is not finite.
    """
    for variable in (*model.variables, *model.optimizer.variables):
        value = _backend.value_of(variable)
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise DivergenceError(
                f"A variable is not finite after step {step}: the gradients were not. "
                "Try a lower learning rate, a longer warm-up, or `bfloat16` instead of "
                f"`float16`. Received: {variable.path}"
            )
