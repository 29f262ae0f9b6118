"""Arrays that stay on the device, and the place of a device's rows in a batch."""

import keras
import numpy as np
from keras import ops

from keras_mvssl.distribution.job import processes
from keras_mvssl.distribution.job import replicas


def keep_on_device(array):
    """Return a NumPy array as a tensor of the backend, for `take_rows`.

    The array is returned unchanged with TensorFlow, whose `fit` takes batches from main
    memory, and with several devices of JAX, where `fit` places the parts of each batch.
    """
    if keras.backend.backend() == "tensorflow" or (
        keras.backend.backend() == "jax" and replicas() > 1
    ):
        return array
    return ops.convert_to_tensor(array)


def take_rows(array, rows):
    """Return rows of an array or tensor from `keep_on_device`, without moving it."""
    if isinstance(array, np.ndarray):
        return array[rows]
    return ops.take(array, rows, axis=0)


def place_in_batch(rows):
    """Return the place of this device's rows in the batch of all devices.

    Args:
        rows: int or scalar tensor. Number of rows on this device; every device has the
            same number.

    Returns:
        The place of the first row of this device, and the number of rows of all
        devices; ints or scalar tensors.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            index = replica.replica_id_in_sync_group
            return index * rows, replica.num_replicas_in_sync * rows
    elif keras.backend.backend() == "torch":
        index, count = processes()
        return index * rows, count * rows
    return 0, rows  # JAX computes on the whole batch.
