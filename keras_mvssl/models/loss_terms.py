"""Means over an epoch of the terms of a loss, for the logs."""

import keras
from keras import ops


class LossTerms:
    """Running means of the terms of a loss, one metric for each term.

    This class is not a Keras object: Keras would keep tracking the metrics of an
    earlier `compile`.

    Args:
        names: The names of the terms.
    """

    def __init__(self, names):
        self.means = {name: keras.metrics.Mean(name=name) for name in names}

    def update(self, loss, projections):
        """Add the terms of a loss for the projections of a batch `(B, V, D)`."""
        if not self.means:
            return
        # The loss has computed the same terms: compilers merge the two.
        terms = loss.terms(ops.stop_gradient(projections))
        terms = loss.per_feature(terms, projections.shape[-1])
        images = ops.shape(projections)[0]
        # Keras weights the loss by the number of images of a batch as well.
        for name, mean in self.means.items():
            mean.update_state(terms[name], sample_weight=images)


def refuse_targets(loss, arguments):
    """Raise ValueError for a loss or metrics that compare with targets.

    Args:
        loss: The loss that a model is compiled with.
        arguments: Other arguments of `keras.Model.compile`, a dict.
    """
    of_keras = str(getattr(loss, "__module__", "")).startswith("keras.src.")
    if of_keras or not callable(loss):
        raise ValueError(
            "`loss` must be a loss on projections (B, V, D), e.g. from "
            "`keras_mvssl.losses`: losses of Keras compare with targets, and there "
            f"are none. Received: loss={loss}"
        )
    for name in ("metrics", "weighted_metrics"):
        if arguments.get(name):
            raise ValueError(
                f"`{name}` is not supported: metrics compare with targets, and "
                "there are none. Use a callback, e.g. "
                "`keras_mvssl.callbacks.LinearProbe`. "
                f"Received: {name}={arguments[name]}"
            )
