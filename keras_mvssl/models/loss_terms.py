"""Means over an epoch of the terms of a loss, for the logs."""

import keras


class LossTerms:
    """Running means of the terms of a loss, one metric for each term.

    This class is not a Keras object: Keras would keep tracking the metrics of an
    earlier `compile`.

    Args:
        names: The names of the terms.
    """

    def __init__(self, names):
        self.means = {name: keras.metrics.Mean(name=name) for name in names}

    def update(self, terms, images):
        """Add the terms of a batch, `{name: scalar}`, weighted by its `images`."""
        # Keras weights the loss by the number of images of a batch as well.
        for name, mean in self.means.items():
            mean.update_state(terms[name], sample_weight=images)
