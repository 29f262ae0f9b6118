"""Values of the backend's tensors, and checks of tensors in graphs."""

import contextlib
import sys

import keras
from keras import ops


def value_of(variable):
    """Return a variable or tensor as a NumPy array, also from several devices."""
    return ops.convert_to_numpy(ops.convert_to_tensor(variable))


@contextlib.contextmanager
def state_kept_on_error(model):
    """Leave a model with its latest state where its training or evaluation fails.

    On JAX, Keras 3.15 takes the arrays out of the variables meanwhile. An error, or
    Ctrl-C, in `evaluate` or in the first step of `fit` would leave them without. On
    TensorFlow, a function that failed when it was traced first fails ever after.
    """
    if keras.backend.backend() != "jax":
        try:
            yield
        except BaseException:
            for name in ("train_function", "test_function", "predict_function"):
                setattr(model, name, None)  # Keras makes them again.
            raise
        return
    variables = [*model.variables, *model.metrics_variables]
    if getattr(model, "optimizer", None) is not None:
        variables += model.optimizer.variables
    before = [(variable, variable._value) for variable in variables]
    try:
        yield
    except BaseException:
        model.jax_state_sync()
        for variable, value in before:
            # The first step has failed. It has not used up what it was given.
            if variable._value is None and not value.is_deleted():
                variable.assign(value)
        raise


def require_rows(x, minimum, message):
    """Check that a tensor has enough rows, now or when its graph runs.

    Args:
        x: A tensor.
        minimum: int. The smallest number of rows.
        message: The start of the error message.

    Returns:
        `x` with the check attached, to be used in place of `x`.

    Raises:
        ValueError: If the number of rows is known and too small. If TensorFlow learns
            the number only when the graph runs, `InvalidArgumentError` is raised then.
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
    """Refuse a tensor of a TensorFlow graph if the backend is not TensorFlow.

    Raises:
        ValueError: With `message` as its start.
    """
    if keras.backend.backend() == "tensorflow" or "tensorflow" not in sys.modules:
        return
    import tensorflow as tf

    if tf.is_symbolic_tensor(x):
        backend = keras.backend.backend()
        raise ValueError(f"{message} Received: {x}, with the backend {backend!r}")
