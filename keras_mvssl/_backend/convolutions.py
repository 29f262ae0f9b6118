"""Convolutions of Keras' layers, computed faster on JAX and PyTorch."""

import contextlib
import functools

import keras
from keras import ops


@contextlib.contextmanager
def fast_convolutions(model, training=False):
    """While it lasts, let a model compute its convolutions in a faster way.

    Results are the same, up to rounding. Layers get back what they had, so that saved
    and exported models are those of Keras alone.

    - JAX on a CPU, in training: gradients as in `jax_convolutions`. XLA's own take up
      to ten times as long as a matrix product of the same size (jaxlib 0.10.2).
    - PyTorch: convolutions take the memory of images as it lies. Keras copies it twice
      before each convolution, in 3.15 (later versions do not: keras-team/keras#23199).

    Args:
        model: A `keras.Model` or layer, with convolutions at any depth. Covered are
            `Conv2D` layers, channels last, without groups and dilation.
        training: Whether gradients will be needed.
    """
    convolution = _own_convolution(training)
    if convolution is None:
        yield
        return
    layers = [layer for layer in model._flatten_layers() if _is_covered(layer)]
    for layer in layers:
        # Past Keras' tracking: the entry is no part of the layer's state.
        layer.__dict__["convolution_op"] = functools.partial(convolution, layer)
    try:
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("convolution_op", None)


def _own_convolution(training):
    if keras.backend.backend() == "torch":
        return _convolution_on_torch
    if keras.backend.backend() == "jax" and training:
        import jax

        if jax.default_backend() == "cpu":
            from keras_mvssl._backend import jax_convolutions

            return jax_convolutions.convolution
    return None


def _is_covered(layer):
    return (
        isinstance(layer, keras.layers.Conv2D)
        and type(layer).convolution_op is keras.layers.Conv2D.convolution_op
        and "convolution_op" not in layer.__dict__
        and layer.data_format == "channels_last"
        and layer.groups == 1
        and tuple(layer.dilation_rate) == (1, 1)
    )


def _convolution_on_torch(layer, inputs, kernel):
    """Return what `layer.convolution_op` returns, for a `Conv2D` on PyTorch."""
    import torch

    kernel = ops.convert_to_tensor(kernel)
    if inputs.is_meta or inputs.dtype != kernel.dtype:
        return type(layer).convolution_op(layer, inputs, kernel)
    rows, columns = layer.strides
    if tuple(kernel.shape[:2]) == (1, 1):
        # One product. oneDNN's gradients of strided 1x1 kernels are wrong for few
        # channels, and on some processors the program crashes (PyTorch 2.13).
        return torch.matmul(inputs[:, ::rows, ::columns], kernel[0, 0])
    images = inputs.permute(0, 3, 1, 2)
    padding = (0, 0)
    if layer.padding == "same":
        around = [
            max((-(-n // stride) - 1) * stride + size - n, 0)
            for n, stride, size in zip(
                images.shape[2:], layer.strides, kernel.shape, strict=False
            )
        ]
        if any(total % 2 for total in around):
            above, left = (total // 2 for total in around)
            images = torch.nn.functional.pad(
                images, (left, around[1] - left, above, around[0] - above)
            )
        else:
            padding = tuple(total // 2 for total in around)
    filters = kernel.permute(3, 2, 0, 1)
    filters = filters.contiguous(memory_format=torch.channels_last)
    outputs = torch.nn.functional.conv2d(images, filters, None, layer.strides, padding)
    return outputs.permute(0, 2, 3, 1)
