"""Checkpoints during training, from which `training.fit` goes on."""

import json
import numbers
import os
import pathlib
import tempfile
import time
import warnings
from typing import Any

import keras
import numpy as np

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._backend import value_of
from keras_mvssl._internal.stream_version import STREAM_VERSION
from keras_mvssl._internal.stream_version import check_stream_version
from keras_mvssl.callbacks import checkpoint_store
from keras_mvssl.callbacks.divergence import check_finite
from keras_mvssl.callbacks.probe import check_counts

# Saving takes at most this share of the time, unless `steps` asks for more.
MAX_SAVE_SHARE = 0.02
# Metrics of which the highest is best; of others, losses, it is the lowest.
HIGHEST = ("accuracy",)


class Checkpoint(keras.callbacks.Callback):
    """Keeps all that a training needs to go on as if it had not been interrupted.

    Weights, the state of the optimizer and of the loss scale, batch normalisation,
    the step of `RandomViews`, random seeds, the running means of the epoch's logs, and
    what other callbacks have seen. Train with `training.fit`, which restores them.

    Saved are: the state every `minutes`; the end of each epoch, and of the first step,
    where that takes little of the time; each new best; and the last step. A failure
    to save, e.g. to a full disk, is a warning: training and earlier checkpoints go on.
    List it after the callbacks whose logs and state it should see. Of several
    processes, the first one saves, with the help of the others; all read, from a file
    system that they share.

    Args:
        folder: Folder of the checkpoints, `step-N/`, each with `model.keras`, which
            `keras.saving.load_model` reads.
        minutes: Positive float. Time between checkpoints, if one takes less than 2 % of
            it.
        steps: Optional int >= 1. Steps between further checkpoints.
        keep: int >= 1. How many of the latest are kept, beside the best.
        monitor: Name in the logs of what is best: the highest where it ends in
            "accuracy", the lowest of others.
        state: Optional `{name: object}`: what `get_state()` of these, callbacks for
            instance, returns is kept, and given back to `set_state(state)`; JSON must
            hold it. Keras' own callbacks have none, and begin anew.

    Attributes:
        stop: A reason to stop, a str: training then ends after the step, saved, with
            `training.Interrupted`.

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
        self.folder = checkpoint_store.Folder(pathlib.Path(folder), keep)
        self.minutes = minutes
        self.steps = steps
        self.monitor = monitor
        self.state = dict(state or {})
        self.stop = None
        self.step = 0
        self.is_over: bool = False
        self._metrics = None
        self._random = None  # to be set before the next step
        self._decided = None
        self._best = None  # value and step
        self._cost, self._saved_step, self._tried_step = 0.0, None, 0
        self._saved_at = time.monotonic()

    def restore(self, model, steps_per_epoch):
        """Gives a compiled model, and `state`, what the latest checkpoint holds.

        Args:
            model: The model, with a built optimizer.
            steps_per_epoch: int, which must be that of the checkpoint.

        Returns:
            The number of steps behind it; 0 where there is no checkpoint.

        Raises:
            ValueError: For a checkpoint of another model or a newer version.
        """
        found = distribution.once(self.folder.latest)
        reached = -1 if found is None else int(found.name[5:])
        if distribution.is_chief():
            self.folder.set_aside_after(reached)
        if found is None:
            return 0
        content = json.loads((found / "state.json").read_text(encoding="utf-8"))
        check_stream_version(content, f"checkpoint={found}")
        if content["steps_per_epoch"] != steps_per_epoch:
            raise ValueError(
                f"The checkpoint has epochs of {content['steps_per_epoch']} steps. "
                f"Received: steps_per_epoch={steps_per_epoch}"
            )
        if set(content["state"]) != set(self.state):
            raise ValueError(
                f"The checkpoint holds the state of {sorted(content['state'])}. "
                f"Received: state={sorted(self.state)}"
            )
        with warnings.catch_warnings():
            # Keras only warns of an optimizer that is another one.
            warnings.filterwarnings("error", "Skipping variable loading")
            try:
                model.load_weights(found / "model.keras")
            except (ValueError, UserWarning) as error:
                raise ValueError(
                    "The checkpoint is of another model or optimizer (see above). "
                    f"Received: {found}"
                ) from error
        for name, item in self.state.items():
            item.set_state(content["state"][name])
        with np.load(found / "state.npz", allow_pickle=False) as arrays:
            for i, seed in enumerate(_seeds(model)):
                seed.assign(arrays[f"seed_{i}"])
            self._metrics = [
                arrays[f"metric_{i}"] for i in range(content["number_of_metrics"])
            ]
            self._random = {
                name: arrays[name] for name in arrays if name.startswith("random")
            }
        self._best, self.is_over = content["best"], content["is_over"]
        self.step = self._saved_step = self._tried_step = content["step"]
        return self.step

    def restore_metrics(self):
        """Goes on with the means of an epoch, after Keras has reset them."""
        variables = self.model.metrics_variables
        for variable, value in zip(variables, self._metrics, strict=True):
            variable.assign(value / distribution.separate_sums())

    def on_train_begin(self, logs=None):
        self._saved_at = time.monotonic()
        if self._saved_step is None:
            self._save()

    def decide(self, batch):
        """What is to be done after a step of the epoch, before it is done.

        Returns:
            2 to stop, 1 to save, or 0.
        """
        step = self._epoch * self.params["steps"] + batch + 1
        waited = time.monotonic() - self._saved_at
        is_due = waited >= max(60 * self.minutes, self._cost / MAX_SAVE_SHARE)
        if self.steps is not None:
            is_due |= step // self.steps > self._tried_step // self.steps
        self._decided = 2 if self.stop else int(is_due)
        return self._decided

    def on_train_batch_end(self, batch, logs=None):
        wanted = self.decide(batch) if self._decided is None else self._decided
        if self.stop:  # since it was decided
            wanted = 2
        self._decided = None
        self.step = self._epoch * self.params["steps"] + batch + 1
        if batch + 1 < self.params["steps"]:  # An epoch is over with its probes.
            self._save_and_stop(wanted)

    def keep_random_state(self):
        """Goes on with the present random numbers at the next step."""
        self._random = _backend.random_state()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if self.step == 0:
            self._set_random_state()

    def on_train_batch_begin(self, batch, logs=None):
        # Keras' iterator over data has drawn from them as it began.
        self._set_random_state()

    def _set_random_state(self):
        if self._random is not None:
            _backend.set_random_state(self._random)
            self._random = None

    def on_epoch_end(self, epoch, logs=None):
        self.step = (epoch + 1) * self.params["steps"]  # also where it ended early
        self.is_over = self.model.stop_training
        is_due = self.is_over or epoch + 1 == self.params["epochs"]
        is_due |= time.monotonic() - self._saved_at >= self._cost / MAX_SAVE_SHARE
        value, before = (logs or {}).get(self.monitor), self._best
        if value is not None and self._is_best(value):
            self._best, is_due = [float(value), self.step], True
        try:
            self._save_and_stop(2 if self.stop else int(is_due))
        finally:
            if is_due and self._saved_step != self.step:
                self._best = before  # which is still there

    def _is_best(self, value):
        sign = 1 if self.monitor.endswith(HIGHEST) else -1
        return self._best is None or sign * value > sign * self._best[0]

    def _save_and_stop(self, wanted):
        # Processes must do the same, though clocks and signals differ.
        wanted = distribution.highest(wanted)
        if wanted and self._saved_step != self.step:
            self._save()
        if wanted == 2:
            reason = self.stop or "another process"
            raise Interrupted(reason, self.step, self._saved_step == self.step)

    def _save(self):
        start = time.monotonic()
        self._tried_step = self.step
        check_finite(self.model, self.step)
        best = self._best[1] if self._best else None
        try:
            if distribution.is_chief():
                self.folder.save(self.step, self._write, spare=best)
            elif distribution.saves_together():
                with tempfile.TemporaryDirectory() as nowhere:
                    self._write(pathlib.Path(nowhere))
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

    def _write(self, folder):
        model = self.model
        model.save(folder / "model.keras")
        metrics = model.metrics_variables
        sums = [value_of(x) * distribution.separate_sums() for x in metrics]
        arrays = {f"metric_{i}": x for i, x in enumerate(sums)}
        for i, seed in enumerate(_seeds(model)):
            arrays[f"seed_{i}"] = value_of(seed)
        np.savez(folder / "state.npz", **arrays, **_backend.random_state())
        content = {
            "step": self.step,
            "stream_version": STREAM_VERSION,
            "steps_per_epoch": self.params["steps"],
            "is_over": bool(self.is_over),
            "number_of_metrics": len(metrics),
            "best": self._best,
            "state": {name: item.get_state() for name, item in self.state.items()},
        }
        (folder / "state.json").write_text(json.dumps(content), encoding="utf-8")


class Interrupted(SystemExit):
    """Training that was asked to stop, and has saved where it was.

    A script that does not catch it ends with `CODE`.

    Attributes:
        reason: Who asked, e.g. `"SIGTERM"`.
        step: Steps of training; None where it had not begun, or was over.
        saved: Whether the last of them is saved.

    Example:

    ```python
    checkpoint = keras_mvssl.callbacks.Checkpoint("stopped")
    checkpoint.stop = "no more time"  # as SIGTERM does, while it trains
    try:
        keras_mvssl.training.fit(model, make_stream, 1, 2, checkpoint)
    except keras_mvssl.training.Interrupted as stop:
        print(stop.reason, stop.step, stop.saved)
    ```
    """

    CODE = distribution.INTERRUPTED

    def __init__(
        self, reason: str, step: int | None = None, saved: bool = False
    ) -> None:
        super().__init__(self.CODE)
        self.reason, self.step, self.saved = reason, step, saved


def _seeds(model):
    """States of the random generators of a model's layers, e.g. of dropout."""
    return [
        value.state
        for layer in model._flatten_layers()
        for _, value in sorted(vars(layer).items())
        if isinstance(value, keras.random.SeedGenerator)
    ]
