"""Callback that saves checkpoints, from which `training.fit` continues."""

import math
import numbers
import os
import pathlib
import tempfile
import time
import warnings
from typing import Any

import keras

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.files import local_path
from keras_mvssl.callbacks import checkpoint_content
from keras_mvssl.callbacks import checkpoint_store
from keras_mvssl.callbacks.carried import Carried
from keras_mvssl.callbacks.divergence import check_finite
from keras_mvssl.callbacks.interrupted import Interrupted
from keras_mvssl.callbacks.lazy_logs import number
from keras_mvssl.callbacks.probe import check_counts
from keras_mvssl.callbacks.training_settings import training_settings

# Largest share of the time that is spent on saving, unless `steps` asks for more.
MAX_SAVE_SHARE = 0.02
RETRY_SECONDS = 1  # after which the last checkpoint is tried again
# Endings of the names of metrics whose highest value is best. Other metrics are losses,
# whose lowest value is best.
HIGHEST_IS_BEST = ("accuracy",)
# Decisions after a step. The processes of a job follow the highest of theirs.
CONTINUE, SAVE, STOP = 0, 1, 2


class Checkpoint(keras.callbacks.Callback):
    """Callback that saves all that a training needs to continue as if uninterrupted.

    A checkpoint holds the weights, the state of the optimizer and of the loss scale,
    the statistics of batch normalisation, the step of `RandomViews`, random seeds, the
    running means of the epoch's logs, and the state of other callbacks. Train with
    `training.fit`, which restores the latest checkpoint.

    The callback saves before the first step, every `minutes`, at the end of an epoch
    where saving takes little of the time, at each new best, and at the last step. A
    failure to save, such as a full disk, gives a warning: training continues, and
    earlier checkpoints stay. List the callback after those whose logs and state it
    should see. Among several processes, the first one saves, with the help of the
    others; all of them read the checkpoints, from a file system that they share.

    Args:
        folder: Folder of the checkpoints, `step-N/`, each with a `model.keras` that
            `keras.saving.load_model` reads.
        minutes: Positive float. Time between checkpoints; longer where saving one takes
            more than 2 % of it.
        steps: Optional int >= 1. Number of steps between further checkpoints.
        keep: int >= 1. Number of latest checkpoints that are kept, besides the best.
        monitor: Name of the entry in the logs that tells the best checkpoint: by its
            highest value if the name ends in "accuracy", else by its lowest.
        state: Optional `{name: object}`, for instance of callbacks. A checkpoint keeps
            the result of each object's `get_state()`, which JSON must be able to hold,
            and gives it back to `set_state(state)`. `training.fit` adds what its
            callbacks remember, under names of its own.

    Attributes:
        stop: A reason to stop, a str. Training then saves after the current step, and
            ends with `training.Interrupted`.

    Raises:
        ValueError: For a folder of another scheme, such as a bucket, and, after an
            epoch, for a `monitor` that is no number.

    Example:
    ```python
    checkpoint = keras_mvssl.callbacks.Checkpoint("run/checkpoint")
    keras_mvssl.training.fit(model, make_stream, 10, 500, checkpoint=checkpoint)
    ```
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        minutes: float = 10.0,
        steps: int | None = None,
        keep: int = 2,
        monitor: str | None = "loss",
        state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(minutes, numbers.Real) or not minutes > 0:
            raise ValueError(
                f"`minutes` must be a number above 0. Received: minutes={minutes!r}"
            )
        check_counts(keep=keep, **({} if steps is None else {"steps": steps}))
        self.folder = checkpoint_store.Folder(local_path(folder, "folder"), keep)
        self.minutes = minutes
        self.steps = steps
        self.monitor = monitor
        self.state: dict[str, Any] = dict(state or {})
        self.stop = None
        self.step = 0
        self.is_over: bool = False
        self.carried: Carried = Carried([])
        self._settings = None  # those with which training began
        self._metrics = None
        self._random = None  # random state to set before the next step
        self._decided = None
        self._best = None  # [value, step] of the best checkpoint
        self._cost = 0.0  # seconds that the last attempt to save took
        self._saved_step, self._tried_step = None, 0
        self._saved_at = time.monotonic()

    def restore(self, model, steps_per_epoch):
        """Restore a compiled model, and `state`, from the latest checkpoint.

        Args:
            model: The model, with a built optimizer.
            steps_per_epoch: int, which must equal the one of the checkpoint.

        Returns:
            The number of training steps that the checkpoint was saved after, 0 where
            there is no checkpoint; and a function to call when training has begun.

        Raises:
            ValueError: For a checkpoint of another model or optimizer, with epochs of
                another length or other names in `state`, or of a version of
                keras_mvssl that this one cannot continue from.
        """
        settings = training_settings(model)
        found = distribution.once(self.folder.latest)
        reached = -1 if found is None else int(found.name[5:])
        if distribution.is_chief():
            self.folder.set_aside_after(reached)
        self._settings = settings
        if found is None:
            return 0, lambda: None
        progress, self._metrics, self._random, begin = checkpoint_content.restore(
            found, model, self.state, steps_per_epoch, self.carried, settings
        )
        if progress.get("monitor", self.monitor) == self.monitor:
            self._best = progress["best"]
        self.is_over = progress["is_over"]
        self._settings = progress.get("settings") or settings
        self.step = self._saved_step = self._tried_step = progress["step"]
        return self.step, begin

    def restore_metrics(self):
        """Restore the running means of an epoch, after Keras has reset them."""
        variables = self.model.metrics_variables
        if len(variables) != len(self._metrics):
            raise ValueError(
                f"The checkpoint holds {len(self._metrics)} variables of metrics: "
                "compile the model with the same `metrics`, or go on from the end of "
                f"an epoch. Received: {len(variables)} variables of metrics"
            )
        for variable, value in zip(variables, self._metrics, strict=True):
            variable.assign(value / distribution.separate_metric_sums())

    def on_train_begin(self, logs=None):
        self._saved_at = time.monotonic()
        self._settings = self._settings or training_settings(self.model)
        if self._saved_step is None:
            self._save()

    def decide(self, batch):
        """Decide whether to save or stop after this step of the epoch.

        The next call of `on_train_batch_end` acts on the decision.

        Returns:
            `CONTINUE`, `SAVE` or `STOP`.
        """
        step = self._epoch * self.params["steps"] + batch + 1
        waited = time.monotonic() - self._saved_at
        is_due = waited >= max(60 * self.minutes, self._cost / MAX_SAVE_SHARE)
        if self.steps is not None:
            is_due |= step // self.steps > self._tried_step // self.steps
        self._decided = self._decision(is_due)
        return self._decided

    def _decision(self, is_due):
        if self.stop:
            return STOP
        return SAVE if is_due else CONTINUE

    def on_train_batch_end(self, batch, logs=None):
        wanted = self.decide(batch) if self._decided is None else self._decided
        if self.stop:  # The reason may have come after the decision.
            wanted = STOP
        self._decided = None
        self.step = self._epoch * self.params["steps"] + batch + 1
        if batch + 1 < self.params["steps"]:  # Else `on_epoch_end` saves, after probes.
            self._save_and_stop(wanted)

    def keep_random_state(self):
        """Let the next step continue from the present random state of the backend."""
        self._random = _backend.random_state()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if self.step == 0:
            self._set_random_state()

    def on_train_batch_begin(self, batch, logs=None):
        # Set only now: Keras' iterator over data draws random numbers when it begins.
        self._set_random_state()

    def _set_random_state(self):
        if self._random is not None:
            _backend.set_random_state(self._random)
            self._random = None

    def on_epoch_end(self, epoch, logs=None):
        self.step = (epoch + 1) * self.params["steps"]  # also if it ended early
        self.is_over = self.model.stop_training
        is_end = self.is_over or epoch + 1 == self.params["epochs"]
        is_due = (
            is_end or time.monotonic() - self._saved_at >= self._cost / MAX_SAVE_SHARE
        )
        value, before = self._monitored(logs), self._best
        if value is not None and self._is_best(value):
            self._best, is_due = [value, self.step], True
        try:
            self._save_and_stop(self._decision(is_due), is_end)
        finally:
            if is_due and self._saved_step != self.step:
                self._best = before  # Saving failed; the best one before still exists.

    def stop_if_asked(self):
        """Stop all processes if one of them was asked to after its last decision."""
        self._save_and_stop(self._decision(is_due=False))

    def _monitored(self, logs):
        """Return the number that tells the best checkpoint; None without the entry."""
        found = (logs or {}).get(self.monitor)
        value = number(found)
        if found is not None and value is None:
            raise ValueError(
                "`monitor` must name an entry of the logs that is a number. Received: "
                f"monitor={self.monitor!r}, logs[{self.monitor!r}]={found!r:.80}"
            )
        return value

    def _is_best(self, value):
        if math.isnan(value):  # Nothing could be better than it.
            return False
        sign = 1 if self.monitor.endswith(HIGHEST_IS_BEST) else -1
        return self._best is None or sign * value > sign * self._best[0]

    def _save_and_stop(self, wanted, is_end=False):
        # All processes must act alike, although their clocks and signals differ.
        wanted = distribution.max_over_processes(wanted)
        if wanted != CONTINUE and self._saved_step != self.step:
            self._save()
            is_lost = (is_end or wanted == STOP) and self._saved_step != self.step
            if distribution.max_over_processes(int(is_lost)):
                time.sleep(RETRY_SECONDS)  # There is no later attempt.
                self._save()
        if wanted == STOP:
            # Whoever ends first may have the others stopped: not before one has saved.
            distribution.max_over_processes(0)
            reason, self.stop = self.stop or "another process", None
            raise Interrupted(reason, self.step, self._saved_step == self.step)

    def _save(self):
        start = time.monotonic()
        self._tried_step = self.step
        check_finite(self.model, self.step)
        best = self._best[1] if self._best else None
        try:
            if distribution.is_chief():
                self.folder.save(self.step, self._write, best=best)
            elif distribution.saves_together():
                # Reading a variable takes all processes; only the chief's files count.
                with tempfile.TemporaryDirectory() as discarded:
                    self._write(pathlib.Path(discarded))
            self._saved_step = self.step
        except OSError as error:
            warnings.warn(
                "A checkpoint could not be saved; training goes on, and the one "
                f"before stays. {type(error).__name__}: {error}",
                stacklevel=2,
            )
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - start
        for item in self.state.values():
            if hasattr(item, "leave_out"):
                item.leave_out(self._cost)

    def _write(self, path):
        progress = {
            "step": self.step,
            "steps_per_epoch": self.params["steps"],
            "is_over": bool(self.is_over),
            "best": self._best,
            "monitor": self.monitor,
        }
        checkpoint_content.write(
            path, self.model, self.state, progress, self.carried, self._settings
        )
