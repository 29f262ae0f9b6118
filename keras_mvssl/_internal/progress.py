"""Progress bars: one line that moves on a terminal, one line at the end elsewhere."""

import sys

import keras


def verbosity():
    """Keras' `verbose` for where the output goes."""
    return 1 if sys.stdout.isatty() else 2


def bar(total, unit):
    """A `keras.utils.Progbar`; call its `update(done)`."""
    return keras.utils.Progbar(total, unit_name=unit, verbose=verbosity())
