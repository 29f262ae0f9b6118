"""Learning rates: over the steps of a run, and with the size of the batch."""

import keras


def warmup_cosine(
    peak: float, steps: int, warmup_steps: int = 0
) -> keras.optimizers.schedules.CosineDecay:
    """A schedule that rises from 0 to `peak`, then falls to 0 along a cosine.

    Args:
        peak: Positive float.
        steps: int. All steps, the rise included.
        warmup_steps: int, less than `steps`.

    Returns:
        A `keras.optimizers.schedules.CosineDecay`.

    Raises:
        ValueError: For no steps, or a rise that takes all of them.

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
    """The learning rate for a batch of all devices, from that for `base` images.

    Args:
        rate: Float. The learning rate that is right for batches of `base` images.
        batch_size: int. Images in a batch, of all devices together.
        base: int.
        rule: `"linear"`, for SGD and LARS (Goyal et al., 2017), or `"sqrt"`, for
            Adam and its kin (Malladi et al., 2022).

    Returns:
        A float: rate · batch_size / base, or rate · √(batch_size / base).

    Raises:
        ValueError: For another rule, or a size below 1.

    Example:

    ```python
    keras_mvssl.optimizers.scaled_rate(0.2, 1024)  # 0.8
    keras_mvssl.optimizers.scaled_rate(1e-3, 1024, rule="sqrt")  # 0.002
    ```
    """
    powers = {"linear": 1.0, "sqrt": 0.5}
    if rule not in powers:
        raise ValueError(
            f"`rule` must be one of {list(powers)}. Received: rule={rule!r}"
        )
    if batch_size < 1 or base < 1:
        raise ValueError(
            "`batch_size` and `base` must be at least 1. "
            f"Received: batch_size={batch_size}, base={base}"
        )
    return rate * (batch_size / base) ** powers[rule]
