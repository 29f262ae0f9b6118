"""Convolutions of PyTorch that take the memory of images as it lies.

Keras copies images twice before each convolution, in 3.15; later versions do not
(keras-team/keras#23199).
"""

import torch
from keras import ops
from torch.nn import functional


def convolution(layer, inputs, kernel):
    """Return what `layer.convolution_op` returns, for a `Conv2D`, channels last."""
    kernel = ops.convert_to_tensor(kernel)
    if inputs.is_meta or inputs.dtype != kernel.dtype:
        return type(layer).convolution_op(layer, inputs, kernel)
    height, width, channels, filters = kernel.shape
    strides = tuple(layer.strides)
    if (height, width) == (1, 1):
        # One product. oneDNN's gradients of strided 1x1 kernels are wrong for few
        # channels, and on some processors the program crashes (PyTorch 2.13).
        return torch.matmul(inputs[:, :: strides[0], :: strides[1]], kernel[0, 0])
    images = inputs.permute(0, 3, 1, 2)
    padding = (0, 0)
    if layer.padding == "same":
        around = [
            max((-(-length // stride) - 1) * stride + size - length, 0)
            for length, stride, size in zip(
                images.shape[2:], strides, (height, width), strict=True
            )
        ]
        padding = tuple(total // 2 for total in around)
        if any(total % 2 for total in around):
            (above, left), (rows, columns) = padding, around
            images = functional.pad(images, (left, columns - left, above, rows - above))
            padding = (0, 0)
    turned = kernel.permute(3, 2, 0, 1)
    if not turned.is_contiguous(memory_format=torch.channels_last):
        turned = _Transpose.apply(kernel.reshape(-1, filters))
        turned = turned.reshape(filters, height, width, channels).permute(0, 3, 1, 2)
    outputs = functional.conv2d(images, turned, None, strides, padding)
    return outputs.permute(0, 2, 3, 1)


def lay_out(kernels, others):
    """Put filters into the memory order that convolutions take without a copy.

    In channels-last memory, filters are (O, height, width, C). Shapes and values stay.

    Args:
        kernels: Variables of filters, `(height, width, C, O)`.
        others: Variables of the optimizer. Those of the shape of filters follow: an
            update of tensors in different orders is slow.
    """
    shapes = {tuple(kernel.shape) for kernel in kernels}
    for variable in (*kernels, *others):
        if tuple(variable.shape) in shapes:
            tensor = variable.value
            turned = tensor.data.permute(3, 0, 1, 2).contiguous()
            tensor.data = turned.permute(1, 2, 3, 0)


class _Transpose(torch.autograd.Function):
    """Transpose a matrix in memory, and its gradient.

    PyTorch copies a transposed matrix two to three times as fast as a tensor of more
    axes, which the gradient would otherwise be.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(matrix):
        return matrix.t().contiguous()

    @staticmethod
    def setup_context(context, inputs, output):
        pass

    @staticmethod
    def backward(context, gradient):
        return _Transpose.apply(gradient)

    @staticmethod
    def jvp(context, tangent):
        return _Transpose.apply(tangent)
