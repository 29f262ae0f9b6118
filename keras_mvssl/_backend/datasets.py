"""Data sets of `tf.data` whose images are looked at on the host."""

import numpy as np

from keras_mvssl._backend.device import tensorflow_for_data


def look_at_images(dataset, look):
    """Return a `tf.data.Dataset` whose images pass through a function of the host.

    Args:
        dataset: A `tf.data.Dataset` of images, or of tuples that begin with images.
        look: Function that takes images as a NumPy array, and may raise an error.
    """
    tf = tensorflow_for_data()

    def call(images):
        look(images)
        return np.True_

    def seen(*parts):
        parts = _parts(parts)
        images = parts[0]
        done = tf.numpy_function(call, [images], tf.bool)
        with tf.control_dependencies([done]):
            images = tf.identity(images)
        return (images, *parts[1:]) if is_tuple else images

    is_tuple = isinstance(dataset.element_spec, tuple)
    return dataset.map(seen)


def drop_single_images(dataset):
    """Return a data set of unknown length without its batches of one image."""
    tf = tensorflow_for_data()
    spec = dataset.element_spec
    images = spec[0] if isinstance(spec, tuple) else spec
    is_open = images.shape.rank and images.shape[0] is None
    if not is_open or dataset.cardinality() != tf.data.UNKNOWN_CARDINALITY:
        return dataset
    return dataset.filter(lambda *parts: tf.shape(_parts(parts)[0])[0] != 1)


def _parts(arguments):
    """Return the parts of an element: tf.data unpacks tuples, but no named tuples."""
    is_named = len(arguments) == 1 and isinstance(arguments[0], tuple)
    return arguments[0] if is_named else arguments
