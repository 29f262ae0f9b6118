"""Losses on projections `(B, V, D)` of V views."""

from keras_mvssl.losses.barlow_twins import BarlowTwins

__all__ = ["BarlowTwins"]
