"""What self-supervised training of large batches uses beyond Keras' own optimizers."""

from keras_mvssl.optimizers.lars import LARS
from keras_mvssl.optimizers.rates import scaled_rate
from keras_mvssl.optimizers.rates import warmup_cosine

__all__ = ["LARS", "scaled_rate", "warmup_cosine"]
