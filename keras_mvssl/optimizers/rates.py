"""Learning rate schedules, and learning rates scaled with the batch size."""

import keras


def warmup_cosine(
    peak: float, steps: int, warmup_steps: int = 0
) -> keras.optimizers.schedules.CosineDecay:
    """Return a schedule that rises from 0 to `peak`, then falls to 0 along a cosine.

    Args:
        peak: Positive float. The highest learning rate.
        steps: int. Number of steps of the schedule, including the rise.
        warmup_steps: int in [0, steps). Number of steps of the rise.

    Returns:
        A `keras.optimizers.schedules.CosineDecay`.

    Raises:
        ValueError: For `steps` below 1, or `warmup_steps` outside [0, steps).

    Example:
    ```python
    rate = keras_mvssl.optimizers.warmup_cosine(1e-3, 10_000, warmup_steps=500)
    model.compile(optimizer=keras.optimizers.AdamW(rate))
    ```
    """
    if not 0 <= warmup_steps < steps:
        raise ValueError(
            "`warmup_steps` must be at least 0 and less than `steps`. "
            f"Received: warmup_steps={warmup_steps}, steps={steps}"
        )
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        decay_steps=steps - warmup_steps,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def scaled_rate(
    rate: float, batch_size: int, base: int = 256, rule: str = "linear"
) -> float:
    """Scale a learning rate from batches of `base` images to another batch size.

    Args:
        rate: Float. The learning rate that is right for batches of `base` images.
        batch_size: int. Images in a batch, on all devices together.
        base: int. The batch size that `rate` is meant for.
        rule: `"linear"`, for SGD and LARS (Goyal et al., 2017), or `"sqrt"`, for
            Adam and related optimizers (Malladi et al., 2022).

    Returns:
        A float: rate · batch_size / base, or rate · √(batch_size / base).

    Raises:
        ValueError: For another rule, or a batch size below 1.

    Example:
    ```python
    keras_mvssl.optimizers.scaled_rate(0.2, 1024)  # 0.8
    keras_mvssl.optimizers.scaled_rate(1e-3, 1024, rule="sqrt")  # 0.002
    ```
    """
    exponents = {"linear": 1.0, "sqrt": 0.5}
    if rule not in exponents:
        raise ValueError(
            f"`rule` must be one of {list(exponents)}. Received: rule={rule!r}"
        )
    if batch_size < 1 or base < 1:
        raise ValueError(
            "`batch_size` and `base` must be at least 1. "
            f"Received: batch_size={batch_size}, base={base}"
        )
    return float(rate * (batch_size / base) ** exponents[rule])
