"""Callbacks that measure, save and show a training while `fit` runs."""

from keras_mvssl.callbacks.checkpoint import Checkpoint
from keras_mvssl.callbacks.divergence import DivergenceError
from keras_mvssl.callbacks.divergence import StopOnDivergence
from keras_mvssl.callbacks.eigenspectrum import Spectrum
from keras_mvssl.callbacks.interrupted import Interrupted
from keras_mvssl.callbacks.knn_probe import KNNProbe
from keras_mvssl.callbacks.linear_probe import LinearProbe
from keras_mvssl.callbacks.metrics_csv import MetricsCSV
from keras_mvssl.callbacks.tensorboard import TensorBoard
from keras_mvssl.callbacks.throughput import Throughput
from keras_mvssl.callbacks.view_gallery import ViewGallery

__all__ = [
    "Checkpoint",
    "DivergenceError",
    "Interrupted",
    "KNNProbe",
    "LinearProbe",
    "MetricsCSV",
    "Spectrum",
    "StopOnDivergence",
    "TensorBoard",
    "Throughput",
    "ViewGallery",
]
