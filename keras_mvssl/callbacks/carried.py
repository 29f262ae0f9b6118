"""Memory of the callbacks of a training, kept in checkpoints."""

import keras
import numpy as np

K = keras.callbacks
# What Keras' own callbacks remember of the epochs before. All others of Keras either
# depend on the epoch and its logs alone, or write what nothing depends on.
REMEMBERED = {
    K.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    K.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    K.ModelCheckpoint: (
        *("best", "_batches_seen_since_last_saving", "_last_batch_seen"),
    ),
    K.SwapEMAWeights: ("_ema_weights_in_model",),
    K.TensorBoard: ("_global_train_batch", "_global_test_batch"),
}


class Carried:
    """The memory of the callbacks of a training, for its checkpoints.

    A callback of a user's own takes part if it has `get_state()`, whose result JSON can
    hold, and `set_state(state)`.

    Args:
        callbacks: The callbacks.
        others: Objects that a checkpoint keeps by other names.

    Attributes:
        callbacks: `{name: callback}` of those with a memory.
        forgetful: Names of classes of which nothing is known.
    """

    def __init__(self, callbacks, others=()):
        self.callbacks, self.forgetful = {}, []
        counts = {}
        for callback in callbacks:
            if any(callback is other for other in others):
                continue
            name = type(callback).__name__
            counts[name] = counts.get(name, -1) + 1
            if hasattr(callback, "get_state") or _remembered(callback):
                self.callbacks[f"{name}_{counts[name]}"] = callback
            elif not type(callback).__module__.startswith(("keras.", "keras_mvssl.")):
                self.forgetful.append(name)

    def get(self):
        """Return what JSON can hold, `{name: state}`, and arrays, `{name: [array]}`."""
        states, arrays = {}, {}
        for name, callback in self.callbacks.items():
            if hasattr(callback, "get_state"):
                states[name] = callback.get_state()
                continue
            states[name] = {}
            for attribute in _remembered(callback):
                value = getattr(callback, attribute)
                if isinstance(value, list):
                    arrays[f"{name}.{attribute}"] = value
                else:
                    states[name][attribute] = _plain(value)
        return states, arrays

    def set(self, states, arrays):
        """Give the callbacks their memory back; those that are new begin anew.

        What Keras' own callbacks remember they forget when training begins, so they are
        given it by the returned function, to be called then.
        """
        for name, callback in self.callbacks.items():
            if name in states and hasattr(callback, "set_state"):
                callback.set_state(states[name])
        kept = {name: dict(state) for name, state in states.items()}

        def after_train_begin():
            for name, callback in self.callbacks.items():
                if name not in kept or hasattr(callback, "set_state"):
                    continue
                for attribute in _remembered(callback):
                    value = kept[name].get(attribute)
                    value = arrays.get(f"{name}.{attribute}", value)
                    setattr(callback, attribute, value)

        return after_train_begin


def check_callbacks(callbacks):
    """Refuse callbacks that a training which goes on would harm, or be harmed by.

    Raises:
        ValueError: With the name of the callback.
    """
    for callback in callbacks:
        if isinstance(callback, K.BackupAndRestore):
            raise ValueError(
                "`callbacks` must not hold a BackupAndRestore: `checkpoint` restores "
                f"the training. Received: {callback}"
            )
        if isinstance(callback, K.CSVLogger) and not callback.append:
            raise ValueError(
                "`callbacks` must not hold a CSVLogger(append=False): it would empty "
                "its file where training goes on. Use keras_mvssl.callbacks.MetricsCSV."
                f" Received: {callback}"
            )


def _remembered(callback):
    for kind, names in REMEMBERED.items():
        if isinstance(callback, kind):
            return names
    return ()


def _plain(value):
    """Return a number of any library as one of Python's."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    value = keras.ops.convert_to_numpy(value)
    return np.asarray(value).item()
