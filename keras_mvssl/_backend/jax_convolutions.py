"""Convolutions of JAX on a CPU, with gradients that are fast there.

XLA computes most convolutions on a CPU at about the speed of matrix products. Others
take several times as long: gradients of strided convolutions of few channels, kernels
that are larger than their image, and, on processors without AVX-512, all gradients of
filters (jaxlib 0.10.2). Here they are written as matrix products and as convolutions of
the fast kind. Results are the same, up to rounding. Derivatives in forward mode
(`jax.jvp`) are not offered.

Images are `(N, h, w, C)`, filters `(kh, kw, C, O)`, both float32. Strides and padding
are pairs for height and width; padding is `((before, after), (before, after))`.
"""

import itertools

import jax
import keras
from jax import lax
from jax import numpy as jnp
from keras import ops

from keras_mvssl._backend.device import has_avx512

# Bytes of images that are multiplied at once. A block should stay in a core's cache.
BLOCK_BYTES = 2e6
# Up to this number of channels, XLA leaves convolutions to slower code.
FEW_CHANNELS = 16
# Below this number of input channels, as in a first layer, single products are small.
FEW_INPUTS = 8


def convolution(layer, inputs, kernel):
    """Return what `layer.convolution_op` returns, for a `Conv2D`, channels last."""
    kernel = ops.convert_to_tensor(kernel)
    is_float32 = inputs.dtype == kernel.dtype == jnp.float32
    is_fixed = all(isinstance(length, int) and length > 0 for length in inputs.shape)
    if not is_float32 or not is_fixed:
        return type(layer).convolution_op(layer, inputs, kernel)
    strides, size = tuple(layer.strides), kernel.shape[:2]
    padding = lax.padtype_to_pads(
        inputs.shape[1:3], size, strides, layer.padding.upper()
    )
    padding = tuple((int(before), int(after)) for before, after in padding)
    output_size = _output_size(inputs.shape, size, strides, padding)
    if min(output_size) < 1:
        return type(layer).convolution_op(layer, inputs, kernel)
    if size == (1, 1):
        inputs = inputs[:, :: strides[0], :: strides[1]]
        return jnp.tensordot(inputs, kernel[0, 0], 1)
    places = inputs.shape[1] * inputs.shape[2] * output_size[0] * output_size[1]
    if places <= 2 * size[0] * size[1]:
        return _multiply_by_matrix(inputs, kernel, strides, padding)
    return _convolve(inputs, kernel, strides, padding)


def _output_size(shape, size, strides, padding):
    return tuple(
        (length + before + after - k) // stride + 1
        for length, k, stride, (before, after) in zip(
            shape[1:3], size, strides, padding, strict=True
        )
    )


def _multiply_by_matrix(images, filters, strides, padding):
    """Convolve small images by one matrix `(h w C, h' w' O)`, made from the filters."""
    _, h, w, channels = images.shape
    rows, columns = _output_size(images.shape, filters.shape[:2], strides, padding)
    # The filter at an output place, cut to the image: of the filters with zeros around
    # them, the part that begins where the image begins.
    around = [(h, h), (w, w), (0, 0), (0, 0)]
    padded = jnp.pad(filters, around)
    parts = []
    for i in range(rows):
        top = h + padding[0][0] - i * strides[0]
        for j in range(columns):
            left = w + padding[1][0] - j * strides[1]
            parts.append(padded[top : top + h, left : left + w])
    matrix = jnp.stack(parts, 3).reshape(h * w * channels, -1)
    outputs = images.reshape(-1, h * w * channels) @ matrix
    return outputs.reshape(-1, rows, columns, filters.shape[-1])


def _convolve_by_xla(images, filters, strides, padding):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        images, filters, strides, padding, dimension_numbers=dimensions
    )


def _convolve_forward(images, filters, strides, padding):
    return _convolve_by_xla(images, filters, strides, padding), (images, filters)


def _convolve_backward(strides, padding, saved, upstream):
    images, filters = saved
    is_strided = strides != (1, 1)
    has_few = max(filters.shape[2:]) <= FEW_CHANNELS
    is_small = upstream.shape[1] < filters.shape[0] or (
        upstream.shape[2] < filters.shape[1]
    )
    if is_strided and (has_few or is_small):
        slope = _image_gradient(upstream, filters, images.shape, strides, padding)
    else:
        transposed = jax.linear_transpose(
            lambda images: _convolve_by_xla(images, filters, strides, padding), images
        )
        (slope,) = transposed(upstream)
    if has_avx512() and not (is_strided and has_few):
        transposed = jax.linear_transpose(
            lambda filters: _convolve_by_xla(images, filters, strides, padding), filters
        )
        (filter_slope,) = transposed(upstream)
    else:
        filter_slope = _filter_gradient(
            images, upstream, filters.shape, strides, padding
        )
    return slope, filter_slope


_convolve = jax.custom_vjp(_convolve_by_xla, nondiff_argnums=(2, 3))
_convolve.defvjp(_convolve_forward, _convolve_backward)


def _image_gradient(upstream, filters, shape, strides, padding):
    """Gradient of images at strides, by one convolution at stride 1.

    At stride 2, each place of the slopes stands for a square of two rows and columns of
    the image. The convolution gives all places of a square as channels, each by its own
    part of the filters.
    """
    lengths, around_filters, around_slopes = [], [], []
    for length, size, stride, (before, _), slopes in zip(
        shape[1:3],
        filters.shape[:2],
        strides,
        padding,
        upstream.shape[1:3],
        strict=True,
    ):
        # A square meets the slopes from `first` to `last`, counted from its own.
        first = (before + stride - size) // stride
        last = (before + stride - 1) // stride
        front = last * stride - before
        back = (last - first + 1) * stride - front - size
        squares = -(-length // stride)
        lengths.append(squares)
        around_filters.append((front, back))
        around_slopes.append((-first, squares + last - slopes))
    parts = jnp.pad(filters, [*around_filters, (0, 0), (0, 0)])
    channels, outputs = filters.shape[2:]
    rows, columns = (
        length // stride for length, stride in zip(parts.shape, strides, strict=False)
    )
    parts = parts.reshape(rows, strides[0], columns, strides[1], channels, outputs)
    parts = jnp.transpose(parts[::-1, :, ::-1], (0, 2, 5, 1, 3, 4))
    parts = parts.reshape(rows, columns, outputs, -1)
    slope = _convolve_by_xla(upstream, parts, (1, 1), around_slopes)
    slope = slope.reshape(-1, *lengths, *strides, channels)
    slope = jnp.transpose(slope, (0, 1, 3, 2, 4, 5))  # (N, h / s, s, w / s, s, C)
    whole = [length * stride for length, stride in zip(lengths, strides, strict=True)]
    return slope.reshape(-1, *whole, channels)[:, : shape[1], : shape[2]]


def _filter_gradient(images, upstream, shape, strides, padding):
    """Gradient of filters, of each device's images by themselves."""

    def gradient(images, upstream):
        return _places_by_slopes(images, upstream, shape, strides, padding)

    distribution = keras.distribution.distribution()
    devices = distribution.device_mesh.devices.size if distribution else 1
    if devices == 1 or len(images) % devices:
        return gradient(images, upstream)
    images, upstream = (
        x.reshape(devices, -1, *x.shape[1:]) for x in (images, upstream)
    )
    return jnp.sum(jax.vmap(gradient)(images, upstream), 0)


def _places_by_slopes(images, upstream, shape, strides, padding):
    """Gradient of filters: the places that an entry meets, times the slopes there.

    Blocks of images go one after the other, so that they stay in the cache.
    """
    n, rows, columns, outputs = upstream.shape
    height, width, channels, _ = shape
    entries = jnp.array(list(itertools.product(range(height), range(width))))
    last = (rows - 1) * strides[0] + 1, (columns - 1) * strides[1] + 1
    has_few_inputs = channels < FEW_INPUTS

    def add_block(total, pair):
        images, slopes = pair
        images = jnp.pad(images, ((0, 0), *padding, (0, 0)))
        slopes = slopes.reshape(-1, outputs)
        if has_few_inputs:  # One product for all entries is faster.
            met = [images[:, :, j : j + last[1] : strides[1]] for j in range(width)]
            met = lax.optimization_barrier(jnp.concatenate(met, -1))
            met = [met[:, i : i + last[0] : strides[0]] for i in range(height)]
            met = jnp.concatenate(met, -1).reshape(-1, height * width * channels)
            return total + met.T @ slopes, None
        # Products are fast if the sum is over the last axis of the first matrix. The
        # barrier keeps XLA from undoing the transposition.
        turned = lax.optimization_barrier(slopes.T)

        def product(entry):
            corner = (0, *entry, 0)
            part = lax.dynamic_slice(images, corner, (len(images), *last, channels))
            return turned @ part[:, :: strides[0], :: strides[1]].reshape(-1, channels)

        return total + lax.map(product, entries), None

    together = height * width if has_few_inputs else 1
    bytes_of_image = rows * columns * channels * together * images.dtype.itemsize
    block = _block_size(n, bytes_of_image)
    whole = n - n % block
    blocks = (x[:whole].reshape(-1, block, *x.shape[1:]) for x in (images, upstream))
    if has_few_inputs:
        total = jnp.zeros((height * width * channels, outputs), images.dtype)
    else:
        total = jnp.zeros((height * width, outputs, channels), images.dtype)
    total, _ = lax.scan(add_block, total, tuple(blocks))
    if whole < n:
        total, _ = add_block(total, (images[whole:], upstream[whole:]))
    return (total if has_few_inputs else jnp.swapaxes(total, 1, 2)).reshape(shape)


def _block_size(count, image_bytes):
    """Return how many images go into a block: if possible, a divisor of their count."""
    most = max(1, min(count, int(BLOCK_BYTES // image_bytes)))
    divisors = [size for size in range(most // 2 + 1, most + 1) if count % size == 0]
    return max(divisors, default=most)
