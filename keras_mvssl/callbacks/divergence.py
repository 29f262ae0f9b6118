"""The end of a training that cannot be saved any more."""

import math

import keras
import numpy as np

from keras_mvssl import _backend
from keras_mvssl.callbacks.lazy_logs import LazyLogs


class StopOnDivergence(keras.callbacks.Callback):
    """Ends training when a loss was not finite, saying where it was.

    In `training.fit`, which looks at losses twice a second and before each checkpoint,
    so that the device does not wait for Python, it is that much later. With the loss
    scale of float16, steps whose gradients overflow are skipped: that is
    how it finds its scale. They are counted, in `logs["skipped_steps"]`, and no
    divergence. List it before `Checkpoint`: what has diverged is not saved.

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
        self._finite = {}
        self._unseen = []  # steps and their logs

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._finite, self._unseen = {}, []

    def on_train_batch_end(self, batch, logs=None):
        self._unseen.append((batch, logs))
        if isinstance(logs, LazyLogs):
            return
        # Logs are means of the epoch: one that is not finite stays so.
        if not math.isfinite(logs["loss"]):
            self._stop()
        self._finite, self._unseen = logs, []

    def _stop(self):
        batch, logs = next(x for x in self._unseen if not math.isfinite(x[1]["loss"]))
        before = [self._finite, *(x for i, x in self._unseen if i < batch)][-1]
        steps = self.params.get("steps") or 0
        rate = float(_backend.value_of(self.model.optimizer.learning_rate))
        terms = ", ".join(f"{name} {x:.4g}" for name, x in before.items())
        raise DivergenceError(
            f"The loss is not finite after step {self._epoch * steps + batch + 1}, at "
            f"a learning rate of {rate:.3g}. Means of this epoch before it: "
            f"{terms or 'none'}. Try a lower learning rate, a longer warm-up, a "
            "smaller `beta`, larger batches, or bfloat16 instead of float16. "
            f"Received: loss={logs['loss']}"
        )

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return
        steps = (epoch + 1) * self.params["steps"]
        # Steps not skipped; the public `iterations` counts changes of weights.
        made = _backend.value_of(optimizer.inner_optimizer._iterations)
        logs["skipped_steps"] = steps - int(made)


class DivergenceError(ArithmeticError):
    """Training that went to infinity, or to no number.

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
    """Raises DivergenceError for weights, or moments, that are not finite."""
    for variable in (*model.variables, *model.optimizer.variables):
        value = _backend.value_of(variable)
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise DivergenceError(
                f"A variable is not finite after step {step}: the gradients were not. "
                "Try a lower learning rate, a longer warm-up, or `bfloat16` instead of "
                f"`float16`. Received: {variable.path}"
            )
