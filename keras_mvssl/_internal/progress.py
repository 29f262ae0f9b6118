"""Progress bars: a moving line on a terminal, a single line at the end elsewhere."""

import sys

import keras


def verbosity():
    """Return the `verbose` argument of Keras that suits the standard output."""
    return 1 if sys.stdout.isatty() else 2


def bar(total, unit):
    """Return a `keras.utils.Progbar`, to be moved by `bar.update(done)`."""
    return keras.utils.Progbar(total, unit_name=unit, verbose=verbosity())
