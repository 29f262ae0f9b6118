"""Where the rows of a batch lie, and arrays that stay on the device."""

import keras
import numpy as np
from keras import ops

from keras_mvssl.distribution.job import processes
from keras_mvssl.distribution.job import replicas


def keep_on_device(array):
    """A NumPy array as a tensor of the backend, for `take_rows`.

    It stays an array with TensorFlow, whose `fit` takes batches from main memory, and
    with several devices of JAX, on which `fit` places the parts of each batch.
    """
    if keras.backend.backend() == "tensorflow" or (
        keras.backend.backend() == "jax" and replicas() > 1
    ):
        return array
    return ops.convert_to_tensor(array)


def take_rows(array, rows):
    """Rows of what `keep_on_device` returned, where it is."""
    return (
        array[rows] if isinstance(array, np.ndarray) else ops.take(array, rows, axis=0)
    )


def place_in_batch(rows):
    """Where the rows of this device lie in the batch of all of them.

    Args:
        rows: int or scalar tensor. Rows that this device has, as each of them has.

    Returns:
        The place of the first of them, and the number of all, ints or scalar tensors.
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
