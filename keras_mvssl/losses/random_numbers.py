"""Random numbers for losses, each a function of the seed, the step and its place."""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mvssl.views.draws import Draws
from keras_mvssl.views.draws import whole_number


def random_uniform(shape: Sequence[int], seed: int, step: Any) -> Any:
    """Draw numbers from [0, 1), for a loss that is called in each step.

    The numbers are a function of (seed, step, place in the tensor): the same on every
    backend, compiled or not, on any number of devices, and in a run that goes on. There
    is no random state, which JAX would compile as a constant.

    Args:
        shape: Shape of the numbers, ints.
        seed: int from 0 to 2**63 - 1. Other seeds give other numbers.
        step: int scalar from 0 to 2**63 - 1. Step of training, `self.step` of a loss.

    Returns:
        float32 numbers of the shape.

    Raises:
        ValueError: For a shape, a seed or a step of other numbers.

    Example:
    ```python
    numbers = keras_mvssl.losses.random_uniform((256, 16), seed=0, step=10)
    ```
    """
    return _draw(shape, seed, step, ("uniform",))[0]


def random_normal(shape: Sequence[int], seed: int, step: Any) -> Any:
    """Draw numbers of mean 0 and variance 1, for a loss that is called in each step.

    The numbers are a function of (seed, step, place in the tensor): the same on every
    backend up to rounding, compiled or not, on any number of devices, and in a run that
    goes on.

    Args:
        shape: Shape of the numbers, ints.
        seed: int from 0 to 2**63 - 1. Other seeds give other numbers.
        step: int scalar from 0 to 2**63 - 1. Step of training, `self.step` of a loss.

    Returns:
        float32 numbers of the shape.

    Raises:
        ValueError: For a shape, a seed or a step of other numbers.

    Example:
    ```python
    class SpreadInAnyDirection(keras.losses.Loss):
        step = 0  # which `MultiViewModel` sets before each call

        def call(self, y_true, y_pred):
            size = y_pred.shape[-1], 1
            direction = keras_mvssl.losses.random_normal(size, seed=0, step=self.step)
            spread = keras.ops.var(keras.ops.matmul(y_pred, direction), axis=0)
            return keras.ops.mean(keras.ops.square(spread - 1.0), axis=-1)

    model.compile(optimizer="adam", loss=SpreadInAnyDirection())
    ```

    Reference: Box and Muller, "A Note on the Generation of Random Normal Deviates"
    (1958).
    """
    radius, angle = _draw(shape, seed, step, ("radius", "angle"))
    radius = ops.sqrt(-2.0 * ops.log(1.0 - radius))  # 1 - [0, 1) has no 0.
    return radius * ops.cos(2.0 * math.pi * angle)


def _draw(shape, seed, step, names):
    sizes = [whole_number(size, "shape") for size in shape]
    count = math.prod(sizes)
    if count >= 2**31:
        raise ValueError(
            f"`shape` must hold fewer than 2**31 numbers. Received: shape={shape}"
        )
    seed, step = whole_number(seed, "seed"), whole_number(step, "step")
    draws = Draws(seed, step, ops.arange(count, dtype="int32"), views=1)
    return [ops.reshape(draws(name), sizes) for name in names]
