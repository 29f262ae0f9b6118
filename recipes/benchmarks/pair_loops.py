"""Losses on several views as they are usually written: loops over pairs of views."""

import itertools

import keras
from keras import ops


def correlation(x, y):
    """Compute the correlations `(D, D)` of standardised views `(B, D)`."""
    return ops.matmul(ops.transpose(x), y) / x.shape[0]


def barlow_twins_loop(z):
    """Compute the mean of the original loss over pairs, with joint standardisation."""
    z = z - ops.mean(z, axis=(0, 1))
    z = z / ops.sqrt(ops.mean(ops.square(z), axis=(0, 1)) + 1e-5)
    beta, total = 4 / z.shape[-1], 0.0
    pairs = list(itertools.combinations(range(z.shape[1]), 2))
    for a, b in pairs:
        c = correlation(z[:, a], z[:, b])
        diagonal = ops.diagonal(c)
        off_diagonal = ops.sum(ops.square(c)) - ops.sum(ops.square(diagonal))
        total = total + ops.sum(ops.square(1.0 - diagonal)) + beta * off_diagonal
    return total / len(pairs)


def vicreg_loop(z):
    """Compute the mean of the published two-view loss over pairs."""
    total = 0.0
    batch, views, dim = z.shape
    pairs = list(itertools.combinations(range(views), 2))
    for a, b in pairs:
        total = total + 25.0 * ops.mean(ops.square(z[:, a] - z[:, b]))
        for x in (z[:, a], z[:, b]):
            x = (x - ops.mean(x, axis=0)) * (batch / (batch - 1)) ** 0.5
            c = correlation(x, x)
            diagonal = ops.diagonal(c)
            spread = ops.mean(ops.relu(1.0 - ops.sqrt(diagonal + 1e-4)))
            off_diagonal = ops.sum(ops.square(c)) - ops.sum(ops.square(diagonal))
            total = total + 12.5 * spread + off_diagonal / dim
    return total / len(pairs)


class PairLoop(keras.losses.Loss):
    """Loss that is a function of projections `(B, V, D)`.

    Args:
        function: The function.
    """

    def __init__(self, function):
        super().__init__(dtype="float32")
        self.function = function

    def call(self, y_true, y_pred):
        return self.function(y_pred)
