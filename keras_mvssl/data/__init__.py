"""From data sets to streams of views."""

from keras_mvssl.data import shapes
from keras_mvssl.data.catalog import Splits
from keras_mvssl.data.catalog import load
from keras_mvssl.data.pipeline import multiview

__all__ = ["Splits", "load", "multiview", "shapes"]
