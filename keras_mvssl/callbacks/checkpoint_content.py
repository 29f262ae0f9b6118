"""Content of one checkpoint: the files that hold a model and its training state."""

import contextlib
import math
import warnings

import numpy as np

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.files import json_text
from keras_mvssl._internal.files import read_json
from keras_mvssl._internal.npz import MAX_BYTES
from keras_mvssl._internal.npz import read_npz
from keras_mvssl._internal.stream_version import STREAM_VERSION
from keras_mvssl._internal.stream_version import check_stream_version
from keras_mvssl.callbacks.training_settings import refuse_others
from keras_mvssl.callbacks.training_settings import training_settings


def write(path, model, state, progress, carried, settings):
    """Write a model and its training state into the folder of a checkpoint.

    Args:
        path: The folder, which exists.
        model: A compiled model.
        state: `{name: object}`, objects with a `get_state()` that JSON can hold.
        progress: Dict that JSON can hold, with at least `step` and `steps_per_epoch`.
        carried: The `Carried` of the callbacks.
        settings: The `training_settings` with which training began.
    """
    # What processes read together comes before what may fail in one of them.
    callbacks, lists = carried.get()
    metrics = model.metrics_variables
    sums = [_backend.value_of(x) * distribution.separate_metric_sums() for x in metrics]
    arrays = {f"metric_{i}": x for i, x in enumerate(sums)}
    for i, seed in enumerate(_backend.seed_generators(model)):
        arrays[f"seed_{i}"] = _backend.value_of(seed.state)
    for name, values in lists.items():
        arrays |= {f"callback:{name}:{i}": value for i, value in enumerate(values)}
    model.save(path / "model.keras")
    np.savez(path / "state.npz", **arrays, **_backend.random_state())
    content = {
        **progress,
        "stream_version": STREAM_VERSION,
        "number_of_metrics": len(metrics),
        "state": {name: item.get_state() for name, item in state.items()},
        "callbacks": callbacks,
        "lists": {name: len(values) for name, values in lists.items()},
        "settings": settings,
        "settings_now": training_settings(model),
    }
    (path / "state.json").write_text(json_text(content), encoding="utf-8")


def restore(path, model, state, steps_per_epoch, carried, settings):
    """Restore a model, and the objects of `state`, from the folder of a checkpoint.

    Args:
        path: The folder.
        model: A compiled model with a built optimizer.
        state: `{name: object}`, with the names that `write` was given; each object has
            a `set_state(state)`.
        steps_per_epoch: int, which must equal the one of the checkpoint.
        carried: The `Carried` of the callbacks.
        settings: The `training_settings` of the model.

    Returns:
        A dict with the `progress` that `write` was given; a list of the values of the
        model's metrics; the random state of the backend, `{name: array}`; and a
        function to call when training has begun.

    Raises:
        ValueError: For a checkpoint of another model or other settings, another length
            of epochs, other names in `state`, another stream version, or with files
            that hold something else than `write` writes.
    """
    content = read_json(path / "state.json")
    with _told(path):
        content["stream_version"] = int(content.get("stream_version", 1))
        names = sorted(dict(content["state"]))
        steps = int(content["steps_per_epoch"])
        content["step"], count = int(content["step"]), int(content["number_of_metrics"])
        callbacks, lists = dict(content.get("callbacks", {})), content.get("lists", {})
        known = dict(content.get("settings") or settings)
        now = dict(content.get("settings_now") or known)
        if content["best"] is not None:
            value, best_step = content["best"]
            content["best"] = [float(value), int(best_step)]
    check_stream_version(content, f"checkpoint={path}")
    if steps != steps_per_epoch:
        raise ValueError(
            f"The checkpoint has epochs of {steps} steps. "
            f"Received: steps_per_epoch={steps_per_epoch}, checkpoint={path}"
        )
    if names != sorted(state):
        raise ValueError(
            f"The checkpoint holds the state of {names}. "
            f"Received: state={sorted(state)}, checkpoint={path}"
        )
    refuse_others(known, now, settings, f"checkpoint={path}")
    if known["backend"] != settings["backend"]:
        warnings.warn(
            f"The training began on {known['backend']} and goes on on "
            f"{settings['backend']}: the same views and the same steps, but for "
            "rounding, and for random numbers of layers such as dropout.",
            stacklevel=4,
        )
    # The arrays of callbacks may be as large as the model.
    most = MAX_BYTES + 16 * sum(math.prod(x.shape) for x in model.variables)
    arrays, _ = read_npz(path / "state.npz", most)
    with warnings.catch_warnings():
        # For an optimizer of another kind, Keras only warns.
        warnings.filterwarnings("error", "Skipping variable loading")
        try:
            model.load_weights(path / "model.keras")
        except (ValueError, UserWarning) as error:
            raise ValueError(
                "The checkpoint is of another model or optimizer (see above). "
                f"Received: {path}"
            ) from error
    with _told(path):
        for name, item in state.items():
            item.set_state(content["state"][name])
        for i, seed in enumerate(_backend.seed_generators(model)):
            seed.state.assign(arrays[f"seed_{i}"])
        metrics = [arrays[f"metric_{i}"] for i in range(count)]
        lists = {
            name: [arrays[f"callback:{name}:{i}"] for i in range(length)]
            for name, length in lists.items()
        }
        when_begun = carried.set(callbacks, lists)
    random = {name: arrays[name] for name in arrays if name.startswith("random")}
    return content, metrics, random, when_begun


@contextlib.contextmanager
def _told(path):
    """Name the checkpoint where its files hold something else than `write` wrote."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            "The checkpoint does not hold the state of a training "
            f"({type(error).__name__}: {error}). Received: checkpoint={path}"
        ) from error
