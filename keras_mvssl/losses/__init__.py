"""Losses on projections `(B, V, D)` of V views of each image."""

from keras_mvssl.losses.barlow_twins import BarlowTwins
from keras_mvssl.losses.random_numbers import random_normal
from keras_mvssl.losses.random_numbers import random_uniform
from keras_mvssl.losses.reformulated import ReformulatedSSL
from keras_mvssl.losses.vicreg import VICReg

__all__ = [
    "BarlowTwins",
    "ReformulatedSSL",
    "VICReg",
    "random_normal",
    "random_uniform",
]
