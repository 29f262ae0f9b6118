"""Keras' global settings, on which no run depends."""

import contextlib

import keras


@contextlib.contextmanager
def keras_settings(policy="float32"):
    """Build and train within this context as under Keras' defaults, but for a policy.

    Otherwise a run would compute something else where a program has called
    `keras.config.set_floatx` or its like, and its `config.json` would not say so.

    Args:
        policy: Name of the dtype policy of layers.
    """
    floatx, data_format = keras.config.floatx(), keras.config.image_data_format()
    before = keras.config.dtype_policy()  # Without one, Keras makes it of `floatx`.
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_image_data_format(data_format)
        keras.config.set_dtype_policy(before)
