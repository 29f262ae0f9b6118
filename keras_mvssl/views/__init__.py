"""Random views: the description of an augmentation, and two engines for it."""

from keras_mvssl.views.augmentation import Augmentation
from keras_mvssl.views.random_views import RandomViews

__all__ = ["Augmentation", "KerasCVViews", "RandomViews"]


def __getattr__(name):
    # KerasCV imports TensorFlow, which `import keras_mvssl` must not do.
    if name == "KerasCVViews":
        from keras_mvssl.views.kerascv import KerasCVViews

        return KerasCVViews
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
