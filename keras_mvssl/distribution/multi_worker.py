"""TensorFlow on several machines."""


def strategy():
    """A `MultiWorkerMirroredStrategy` with which `fit` of Keras 3.15 works.

    That averages metrics, which are scalars, over an axis that they do not have, and
    images, to learn their shape, in an integer type that is not exchanged.
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
