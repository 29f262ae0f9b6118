"""Layer-wise adaptive rate scaling (LARS), for large batches."""

import math
import numbers
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_mvssl")
class LARS(keras.optimizers.Optimizer):
    """LARS: SGD with momentum whose learning rate is adapted to each layer.

    A weight w with gradient g and velocity v is updated with learning rate γ, weight
    decay λ, momentum m and trust coefficient η by

        v ← m v + γ · η‖w‖ / (‖g‖ + λ‖w‖) · (g + λ w),    w ← w - v.

    Weights of rank 1 or less (biases, and the scales and offsets of normalisation) are
    updated without adaptation and without decay: v ← m v + γ g. Weights that are all
    zero, or whose gradient is zero, are updated without adaptation but with decay.
    Weights that `exclude_from_weight_decay` names have λ = 0. For float16 and bfloat16
    weights, everything but v and w is computed in float32.

    The learning rate is a factor of the gradient in v, as in the paper. In other
    implementations γ multiplies v instead: the two differ while γ changes.

    Args:
        learning_rate: γ, a positive float or a schedule. Usually proportional to the
            batch size: 0.2 to 4.8 for batches of 256 to 4096 in self-supervised work.
        momentum: m, a float in [0, 1).
        weight_decay: λ, a float of at least 0; None is 0.
        trust_coefficient: η, a positive float.
        name: Name of the optimizer.
        **kwargs: Other arguments of `keras.optimizers.Optimizer`.

    Raises:
        ValueError: For a momentum, weight decay or trust coefficient out of range.

    Example:
    ```python
    peak = keras_mvssl.optimizers.scaled_rate(0.2, batch_size=1024)
    rate = keras_mvssl.optimizers.warmup_cosine(peak, 10_000, warmup_steps=1_000)
    model.compile(optimizer=keras_mvssl.optimizers.LARS(rate, weight_decay=1.5e-6))
    ```

    Reference: You et al., "Large batch training of convolutional networks" (2017),
    algorithm 1.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.2,
        momentum: float = 0.9,
        weight_decay: float | None = 1e-6,
        trust_coefficient: float = 1e-3,
        name: str = "lars",
        **kwargs: Any,
    ):
        decay, trust = weight_decay or 0.0, trust_coefficient
        ranges = {
            "momentum": (momentum, 0 <= momentum < 1, "in [0, 1)"),
            "weight_decay": (decay, 0 <= decay < math.inf, "of at least 0"),
            "trust_coefficient": (trust, 0 < trust < math.inf, "above 0"),
        }
        for setting, (value, fits, expected) in ranges.items():
            if not isinstance(value, numbers.Real) or not fits:
                raise ValueError(
                    f"`{setting}` must be a finite number {expected}. "
                    f"Received: {setting}={value}"
                )
        if isinstance(learning_rate, numbers.Real):
            learning_rate = float(learning_rate)
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=None if weight_decay is None else float(weight_decay),
            name=name,
            **kwargs,
        )
        self.momentum = float(momentum)
        self.trust_coefficient = float(trust_coefficient)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        (self._momentums,) = self.add_optimizer_variables(variables, ["momentum"])

    def _apply_weight_decay(self, variables):
        # The decay that Keras applies would be missing from the ratio of norms.
        pass

    def update_step(self, gradient, variable, learning_rate):
        # Norms are sums of squares, which overflow and vanish in float16.
        is_double = variable.dtype == "float64"
        dtype = "float64" if is_double else "float32"
        rate = ops.cast(learning_rate, dtype)
        update = ops.cast(gradient, dtype)
        velocity = self._momentums[self._get_variable_index(variable)]
        if len(variable.shape) > 1:
            decay = self.weight_decay if self._use_weight_decay(variable) else None
            decay = decay or 0.0
            value = ops.cast(variable, dtype)
            norm = ops.norm(ops.reshape(value, (-1,)))
            gradient_norm = ops.norm(ops.reshape(update, (-1,)))
            update = update + decay * value
            total = gradient_norm + decay * norm
            adapted = self.trust_coefficient * norm / ops.maximum(total, 1e-30)
            usable = ops.logical_and(norm > 0, gradient_norm > 0)
            update = update * ops.where(usable, adapted, ops.ones_like(adapted))
        step = self.momentum * ops.cast(velocity, dtype) + rate * update
        self.assign(velocity, ops.cast(step, velocity.dtype))
        self.assign_sub(variable, ops.cast(step, variable.dtype))

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "trust_coefficient": self.trust_coefficient,
        }
