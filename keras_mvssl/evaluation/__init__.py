"""What frozen features are worth."""

from keras_mvssl.evaluation.features import extract_features
from keras_mvssl.evaluation.linear import linear_probe

__all__ = ["extract_features", "linear_probe"]
