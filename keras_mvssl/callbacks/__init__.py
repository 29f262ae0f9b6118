"""What is looked at while `fit` runs."""

from keras_mvssl.callbacks.linear_probe import LinearProbe
from keras_mvssl.callbacks.metrics_csv import MetricsCSV
from keras_mvssl.callbacks.tensorboard import TensorBoard
from keras_mvssl.callbacks.throughput import Throughput

__all__ = ["LinearProbe", "MetricsCSV", "TensorBoard", "Throughput"]
