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
        anew: Names of those that begin anew, as far as they may remember something.
        left: Names in a checkpoint of callbacks that are not among these.
    """

    def __init__(self, callbacks, others=()):
        self.callbacks, self.anew, self.left = {}, [], []
        for callback in callbacks:
            if any(callback is other for other in others):
                continue
            name = _name_of(callback)
            count = sum(x.startswith(f"{name} ") for x in self.callbacks)
            if _has_state(callback) or _remembered(callback):
                self.callbacks[f"{name} {count}"] = callback
            if not _has_state(callback) and not _is_known(callback):
                self.anew.append(type(callback).__name__)

    def get(self):
        """Return what JSON can hold, `{name: state}`, and arrays, `{name: [array]}`."""
        states, arrays = {}, {}
        for name, callback in self.callbacks.items():
            if _has_state(callback):
                states[name] = callback.get_state()
                continue
            states[name] = {}
            for attribute in _remembered(callback):
                value = getattr(callback, attribute)
                if isinstance(value, list):
                    arrays[f"{name}.{attribute}"] = [_storable(x) for x in value]
                else:
                    states[name][attribute] = _plain(value)
        return states, arrays

    def set(self, states, arrays):
        """Give the callbacks their memory back; those that are new begin anew.

        Many callbacks forget when training begins, so those of others are given it once
        more by the returned function, to be called then.
        """
        new = [x for x in self.callbacks if x not in states]
        self.anew += sorted({type(self.callbacks[x]).__name__ for x in new})
        self.left = sorted(set(states) - set(self.callbacks))
        known = {k: v for k, v in self.callbacks.items() if k in states}

        def set_states(of_others):
            for name, callback in known.items():
                if _has_state(callback) and not (of_others and _is_known(callback)):
                    callback.set_state(states[name])

        def after_train_begin():
            set_states(of_others=True)
            for name, callback in known.items():
                if _has_state(callback):
                    continue
                for attribute in _remembered(callback):
                    value = states[name].get(attribute)
                    value = arrays.get(f"{name}.{attribute}", value)
                    setattr(callback, attribute, value)

        set_states(of_others=False)
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


def _name_of(callback):
    """Name a callback so that what it remembers reaches no other one."""
    name = type(callback).__name__
    if hasattr(callback, "monitor"):
        name += f"({callback.monitor}, {getattr(callback, 'mode', None)})"
    return name


def _is_known(callback):
    """Return whether it is one of Keras or of this package, not of a user."""
    return type(callback).__module__.startswith(("keras.", "keras_mvssl."))


def _has_state(callback):
    return hasattr(callback, "get_state") and hasattr(callback, "set_state")


def _remembered(callback):
    for kind, names in REMEMBERED.items():
        if isinstance(callback, kind):
            return names
    return ()


def _storable(array):
    """Return an array of a type that NumPy's files know, unlike bfloat16."""
    array = np.asarray(array)
    return array.astype("float32") if array.dtype.kind == "V" else array


def _plain(value):
    """Return a number of any library as one of Python's."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    value = keras.ops.convert_to_numpy(value)
    return np.asarray(value).item()
