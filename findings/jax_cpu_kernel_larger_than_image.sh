#!/bin/bash
# JAX on a CPU: a convolution whose kernel does not fit into the image takes many times as long as its arithmetic.
# The last stage of a ResNet on small images is such a one: 3 x 3 kernels, padding "same", on 2 x 2 places. XLA then
# swaps the image and the kernel and leaves YNNPACK, which takes convolutions with kernels up to the size of the image.
# The same numbers by one matrix product, with a matrix of (2 x 2 x 128, 2 x 2 x 128) that is made from the filters in
# each call, and the same arithmetic on larger images (4 x 4 places with half the channels), do not have the delay.
# Seen: the convolution 20.5 ms, by a matrix product 0.8 ms, on the larger images 3.0 ms (256 images, float32).
# jax 0.10.2, jaxlib 0.10.2, NumPy 2.4, Python 3.11, 2 cores of an AMD EPYC CPU with AVX-512; 2026-11-30.
# What counts is the ratio within one run: the script fails unless the convolution takes 3 times as long as the product.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install -q jax==0.10.2 jaxlib==0.10.2
cat > try.py <<'P'
import statistics
import time

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

rng = np.random.default_rng(0)


def draw(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


@jax.jit
def convolve(images, filters):
    return lax.conv_general_dilated(
        images, filters, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@jax.jit
def multiply(images, filters):
    n, h, w, channels = images.shape
    parts = [
        jnp.stack([filters[1 - i : 1 - i + h, 1 - j : 1 - j + w] for j in range(w)], 3)
        for i in range(h)
    ]
    matrix = jnp.stack(parts, 3).reshape(h * w * channels, -1)
    return (images.reshape(n, -1) @ matrix).reshape(n, h, w, -1)


def seconds(function, *arguments):
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(9):
        begin = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


print("jax", jax.__version__, "numpy", np.__version__, jax.devices())
images, filters = draw(256, 2, 2, 128), draw(3, 3, 128, 128)
expected, found = convolve(images, filters), multiply(images, filters)
error = float(jnp.abs(expected - found).max() / jnp.abs(expected).max())
assert error < 1e-5, error
slow, product = seconds(convolve, images, filters), seconds(multiply, images, filters)
larger = seconds(convolve, draw(256, 4, 4, 64), draw(3, 3, 64, 64))
print(
    f"2 x 2 places, 128 channels: {1e3 * slow:.1f} ms; by a matrix product "
    f"{1e3 * product:.1f} ms; 4 x 4 places, 64 channels: {1e3 * larger:.1f} ms"
)
assert slow > 3 * product
assert slow > 2 * larger
P
JAX_PLATFORMS=cpu venv/bin/python try.py
