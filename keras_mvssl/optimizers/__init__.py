"""An optimizer and learning rates for self-supervised training of large batches."""

from keras_mvssl.optimizers.lars import LARS
from keras_mvssl.optimizers.rates import scaled_rate
from keras_mvssl.optimizers.rates import warmup_cosine

__all__ = ["LARS", "scaled_rate", "warmup_cosine"]
