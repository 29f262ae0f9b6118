"""Small questions to the backend."""

import contextlib
import ctypes
import importlib.metadata
import os
import sys

import keras
import numpy as np
from keras import ops

from keras_mvssl.distribution.job import processes
from keras_mvssl.distribution.job import replicas

# Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_MALLOC_VARIABLES = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
)


def tensorflow_for_data():
    """TensorFlow, for reading data: it takes no accelerator from another backend."""
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        # It fails where the caller's program has started TensorFlow's devices already.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tf


def require_rows(x, minimum, message):
    """Checks the first axis of `x`, when it is known: now, or as the graph runs.

    Args:
        x: A tensor.
        minimum: int. The fewest rows.
        message: What to say.

    Returns:
        `x`, to be used from here on.

    Raises:
        ValueError: For too few rows of a known shape. With TensorFlow, a shape that
            is unknown while tracing raises `InvalidArgumentError` as it runs.
    """
    rows = x.shape[0]
    if rows is not None:
        if rows < minimum:
            raise ValueError(f"{message} Received: shape={tuple(x.shape)}")
        return x
    if keras.backend.backend() == "tensorflow" and not isinstance(x, keras.KerasTensor):
        import tensorflow as tf

        check = tf.debugging.Assert(
            tf.shape(x)[0] >= minimum, [f"{message} Received: shape=", tf.shape(x)]
        )
        with tf.control_dependencies([check]):
            return tf.identity(x)
    return x


def keep_on_device(array):
    """A NumPy array as a tensor of the backend, for `take_rows`.

    It stays an array with TensorFlow, whose `fit` takes batches from main memory, and
    with several devices of JAX, on which `fit` places the parts of each batch.
    """
    if keras.backend.backend() == "tensorflow" or (
        keras.backend.backend() == "jax" and replicas() > 1
    ):
        return array
    return ops.convert_to_tensor(array)


def value_of(variable):
    """The value of a variable or a tensor as NumPy, also of one on several devices."""
    return ops.convert_to_numpy(ops.convert_to_tensor(variable))


def take_rows(array, rows):
    """Rows of what `keep_on_device` returned, where it is."""
    return (
        array[rows] if isinstance(array, np.ndarray) else ops.take(array, rows, axis=0)
    )


def place_in_batch(rows):
    """Where the rows of this device lie in the batch of all of them.

    Args:
        rows: int or scalar tensor. Rows that this device has, as each of them has.

    Returns:
        The place of the first of them, and the number of all, ints or scalar tensors.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            index = replica.replica_id_in_sync_group
            return index * rows, replica.num_replicas_in_sync * rows
    elif keras.backend.backend() == "torch":
        index, count = processes()
        return index * rows, count * rows
    return 0, rows  # JAX computes on the whole batch.


def random_state():
    """The state of random numbers outside of Keras, `{name: array}`.

    On PyTorch, dropout draws from its global generators.
    """
    if keras.backend.backend() != "torch":
        return {}
    import torch

    state = {"random_cpu": torch.get_rng_state().numpy()}
    if torch.cuda.is_available():
        state["random_cuda"] = torch.cuda.get_rng_state().numpy()
    return state


def set_random_state(state):
    """Goes on with random numbers from what `random_state` returned."""
    if keras.backend.backend() != "torch":
        return
    import torch

    torch.set_rng_state(torch.from_numpy(state["random_cpu"]))
    if "random_cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.from_numpy(state["random_cuda"]))


def is_concrete(x):
    """Whether the values of a tensor are known now, not only in a compiled function."""
    if isinstance(x, keras.KerasTensor):
        return False
    if keras.backend.backend() == "jax":
        import jax

        return not isinstance(x, jax.core.Tracer)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.executing_eagerly()
    return True


def refuse_foreign_graph(x, message):
    """Refuses a tensor in a graph of TensorFlow when the backend is another one.

    Raises:
        ValueError: With this message.
    """
    if keras.backend.backend() == "tensorflow" or "tensorflow" not in sys.modules:
        return
    import tensorflow as tf

    if tf.is_symbolic_tensor(x):
        backend = keras.backend.backend()
        raise ValueError(f"{message} Received: {x}, with the backend {backend!r}")


def device_name():
    """The kind of device that the backend computes on, e.g. `"cpu"`."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        if not devices:
            return "cpu"
        return tf.config.experimental.get_device_details(devices[0])["device_name"]
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return "unknown"


def has_accelerator():
    """Whether the backend computes on a GPU or a TPU (on PyTorch, on CUDA)."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU"))
    return device_name() != "cpu"


def versions():
    """Versions of Keras and of the backend's package."""
    backend = keras.backend.backend()
    return {"keras": keras.__version__, backend: importlib.metadata.version(backend)}


def peak_memory():
    """Bytes of main memory that this process has used at most; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def keep_freed_memory() -> None:
    """Makes this process keep the memory that it frees, for the next step of training.

    For PyTorch on a CPU under Linux: by default, glibc gives large blocks back to the
    system when they are freed, which clears them page by page when the next step asks
    for them again, and a good part of a step can go there. (TensorFlow keeps them by
    itself; JAX allocates from threads, for which glibc keeps less.)

    Call it before the first step, and after `data_parallel` if you do that: looking for
    an accelerator starts the backend. It cannot be undone: the process then holds the
    most that it ever needed, until it ends. `training.run` calls it. It does nothing
    where there is an accelerator, with another C library, or where the environment has
    a say: `MALLOC_TRIM_THRESHOLD_` and its like, or `glibc.malloc` in `GLIBC_TUNABLES`.

    Example:

    ```python
    keras_mvssl.distribution.keep_freed_memory()
    model.fit(stream, epochs=10)
    ```
    """
    if has_accelerator() or any(name in os.environ for name in _MALLOC_VARIABLES):
        return
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    try:
        is_glibc = "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (AttributeError, ValueError):  # Windows, macOS
        return
    if is_glibc:
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, -1)
        mallopt(_M_MMAP_MAX, 0)
