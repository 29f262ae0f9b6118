"""Matrix products of float32 statistics at full float32 precision."""

import keras
from keras import ops


def matmul(a, b):
    """Return the product of float32 matrices, never rounded to TF32 or bfloat16.

    Accelerators multiply float32 matrices in lower precision if they are allowed to
    (TPUs are by default). Lower precision is fine for an encoder, but wrong for the
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
    # TensorFlow and PyTorch can set the precision only globally, not for one product.
    # A gradient is computed after such a switch would have been set back.
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
