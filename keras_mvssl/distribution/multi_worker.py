"""TensorFlow on several machines."""


def strategy():
    """A `MultiWorkerMirroredStrategy`, with which `fit` works.

    Keras 3.15 averages metrics, which are scalars, over an axis that they do not have.
    """
    import tensorflow as tf
    from keras.src.backend.tensorflow import trainer

    reduce_per_replica = trainer.reduce_per_replica

    def reduce(values, strategy, reduction):
        if reduction == "auto":
            reduction = "mean"
        if strategy is made and reduction == "mean":
            return tf.nest.map_structure(
                lambda value: strategy.reduce("MEAN", value, axis=None), values
            )
        return reduce_per_replica(values, strategy, reduction)

    trainer.reduce_per_replica = reduce
    made = tf.distribute.MultiWorkerMirroredStrategy()
    return made
