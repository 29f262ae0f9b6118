"""Strategy for TensorFlow on several machines."""


def strategy():
    """Return a `MultiWorkerMirroredStrategy` that works with `fit` of Keras 3.15.

    Keras reduces metrics, which are scalars, over an axis that scalars do not have. To
    learn the shape of images, Keras also reduces images, and uint8 values cannot be
    exchanged.
    """
    import tensorflow as tf

    class Strategy(tf.distribute.MultiWorkerMirroredStrategy):
        def reduce(self, reduce_op, value, axis):
            if isinstance(value, tuple):
                return tuple(self.reduce(reduce_op, part, axis) for part in value)
            local = self.experimental_local_results(value)[0]
            if local.dtype == tf.uint8:
                return local
            return super().reduce(reduce_op, value, axis if local.shape.rank else None)

    return Strategy()
