"""Content of one checkpoint: the files that hold a model and its training state."""

import contextlib
import warnings

import numpy as np

from keras_mvssl import _backend
from keras_mvssl import distribution
from keras_mvssl._internal.files import json_text
from keras_mvssl._internal.files import read_json
from keras_mvssl._internal.npz import read_npz
from keras_mvssl._internal.stream_version import STREAM_VERSION
from keras_mvssl._internal.stream_version import check_stream_version


def write(path, model, state, progress):
    """Write a model and its training state into the folder of a checkpoint.

    Args:
        path: The folder, which exists.
        model: A compiled model.
        state: `{name: object}`, objects with a `get_state()` that JSON can hold.
        progress: Dict that JSON can hold, with at least `step` and `steps_per_epoch`.
    """
    model.save(path / "model.keras")
    metrics = model.metrics_variables
    sums = [_backend.value_of(x) * distribution.separate_metric_sums() for x in metrics]
    arrays = {f"metric_{i}": x for i, x in enumerate(sums)}
    for i, seed in enumerate(_backend.seed_generators(model)):
        arrays[f"seed_{i}"] = _backend.value_of(seed.state)
    np.savez(path / "state.npz", **arrays, **_backend.random_state())
    content = {
        **progress,
        "stream_version": STREAM_VERSION,
        "number_of_metrics": len(metrics),
        "state": {name: item.get_state() for name, item in state.items()},
    }
    (path / "state.json").write_text(json_text(content), encoding="utf-8")


def restore(path, model, state, steps_per_epoch):
    """Restore a model, and the objects of `state`, from the folder of a checkpoint.

    Args:
        path: The folder.
        model: A compiled model with a built optimizer.
        state: `{name: object}`, with the names that `write` was given; each object has
            a `set_state(state)`.
        steps_per_epoch: int, which must equal the one of the checkpoint.

    Returns:
        A dict with the `progress` that `write` was given; a list of the values of the
        model's metrics; and the random state of the backend, `{name: array}`.

    Raises:
        ValueError: For a checkpoint of another model, another length of epochs, other
            names in `state`, another stream version, or with files that hold something
            else than `write` writes.
    """
    content = read_json(path / "state.json")
    with _told(path):
        content["stream_version"] = int(content.get("stream_version", 1))
        names = sorted(dict(content["state"]))
        steps = int(content["steps_per_epoch"])
        content["step"], count = int(content["step"]), int(content["number_of_metrics"])
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
    arrays, _ = read_npz(path / "state.npz")
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
    random = {name: arrays[name] for name in arrays if name.startswith("random")}
    return content, metrics, random


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
