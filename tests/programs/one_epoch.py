"""Trains the small model of `test_carried_over` for one epoch, into a folder."""

import sys

import keras

from training import test_carried_over as small

if __name__ == "__main__":
    small.fit(small.build(keras.optimizers.SGD(0.1)), sys.argv[1], epochs=1)
