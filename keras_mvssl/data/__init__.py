"""Data sets, and reproducible streams of their images and views."""

from keras_mvssl.data import shapes
from keras_mvssl.data.catalog import load
from keras_mvssl.data.image_batches import batches
from keras_mvssl.data.pipeline import multiview
from keras_mvssl.data.splits import Splits

__all__ = ["Splits", "batches", "load", "multiview", "shapes"]
