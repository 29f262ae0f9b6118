"""Tensors of the backend: their values, and checks of shapes in graphs."""

import sys

import keras
from keras import ops


def value_of(variable):
    """The value of a variable or a tensor as NumPy, also of one on several devices."""
    return ops.convert_to_numpy(ops.convert_to_tensor(variable))


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
