"""Matrix products of float32 statistics at full float32 precision."""

import keras
from keras import ops


def matmul(a, b):
    """Matrix product of float32 tensors, never rounded to TF32 or bfloat16.

    Accelerators multiply float32 matrices in lower precision where they are allowed
    to (on TPUs by default). That is fine for an encoder and wrong for the
    correlations of a loss, which subtract sums of nearly equal size.

    Args:
        a: float32 tensor `(..., n, k)`.
        b: float32 tensor `(..., k, m)`.

    Returns:
        float32 tensor `(..., n, m)`.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.numpy.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
    if _may_round():
        product = ops.matmul(ops.cast(a, "float64"), ops.cast(b, "float64"))
        return ops.cast(product, "float32")
    return ops.matmul(a, b)


def _may_round():
    # Neither backend can ask for precision product by product: TensorFlow's and
    # torch's switches are global, and a gradient runs after a switch was set back.
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(
            tf.config.list_logical_devices("GPU")
            and tf.config.experimental.tensor_float_32_execution_enabled()
        )
    if keras.backend.backend() == "torch":
        import torch

        return torch.get_float32_matmul_precision() != "highest"
    return False
