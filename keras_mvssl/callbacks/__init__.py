"""What is looked at while `fit` runs."""

from keras_mvssl.callbacks.linear_probe import LinearProbe
from keras_mvssl.callbacks.tensorboard import TensorBoard

__all__ = ["LinearProbe", "TensorBoard"]
