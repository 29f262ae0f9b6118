"""Batch statistics for callbacks that look at a frozen encoder, where its own lag."""

import contextlib
import warnings
import weakref

from keras_mvssl.evaluation.batch_statistics import FIRST_STEP
from keras_mvssl.evaluation.batch_statistics import InTraining
from keras_mvssl.evaluation.batch_statistics import lag
from keras_mvssl.evaluation.batch_statistics import lags
from keras_mvssl.evaluation.batch_statistics import steps_of

# Models that were warned of.
_WARNED = weakref.WeakSet()


class Settled:
    """An encoder whose batch statistics are measured anew where they lag.

    Args:
        wanted: Whether they are measured; None where they lag.
    """

    def __init__(self, wanted=None):
        if wanted not in (None, True, False):
            raise ValueError(
                "`batch_statistics` must be True, False or None. "
                f"Received: batch_statistics={wanted!r}"
            )
        self.wanted = wanted
        self._in_training = None

    def applies(self, model):
        """Return whether the statistics of a model in training are measured now."""
        if self.wanted is not None:
            return self.wanted
        if not lags(model):
            return False
        if model not in _WARNED:
            _WARNED.add(model)
            warnings.warn(_warning(model), stacklevel=3)
        return True

    def encoder(self, model, images):
        """Return a context in which the encoder has statistics of images if it lags."""
        if not self.applies(model):
            return contextlib.nullcontext()
        if self._in_training is None or self._in_training.encoder is not model.encoder:
            self._in_training = InTraining(model.encoder)
        return self._in_training.with_statistics_of(images)


def _warning(model):
    steps = steps_of(model.optimizer)
    momentum = 0.05 ** (1 / max(steps, FIRST_STEP))
    return (
        f"The batch normalisation of the encoder lags: after {steps} steps, "
        f"{lag(model.encoder, steps):.0%} of its moving statistics are from before the "
        "training. Until that is below 5%, probes measure the statistics anew, over "
        "images of their own (`evaluation.with_batch_statistics`). A momentum of "
        f"{momentum:.2g} or less has no lag now."
    )
