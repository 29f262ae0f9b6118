"""An encoder alone, and steps that leave more to Keras and to the backend."""

import keras
from keras import ops

import keras_mvssl as mv


def bare_step(encoder, views):
    """Return a function that runs the encoder on views forward and backward.

    The encoder belongs to a compiled model, which computes some layers in its own way.
    The function returns the tensor that is computed last, to wait for.
    """
    nothing = keras.Sequential([keras.Input(encoder.output_shape[1:])])
    nothing.add(keras.layers.Identity())
    model = mv.MultiViewModel(encoder, nothing)
    model.compile()
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def loss(trainable, others, views):
            features, others = model.stateless_call(
                trainable, others, views, training=True
            )
            return ops.sum(features), others

        step = jax.jit(jax.value_and_grad(loss, has_aux=True))
        trainable = [x.value for x in model.trainable_variables]
        others = [x.value for x in model.non_trainable_variables]
        return lambda: step(trainable, others, views)[1][0]
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                value = ops.sum(model(views, training=True))
            return tape.gradient(value, model.trainable_variables)

        return lambda: step()[0]

    def step():
        encoder.zero_grad()
        ops.sum(model(views, training=True)).backward()
        # The first layer's gradient comes last.
        return next(encoder.parameters()).grad

    return step


class StockBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation that trains as Keras computes it.

    On PyTorch, `MultiViewModel.compile` fuses layers of Keras' own class alone.
    """


def with_stock_normalization(model):
    """Return a copy of a functional model, with `StockBatchNormalization`."""

    def clone(layer):
        is_normalization = isinstance(layer, keras.layers.BatchNormalization)
        made = StockBatchNormalization if is_normalization else type(layer)
        return made.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=clone)


class RoundedBarlowTwins(mv.losses.BarlowTwins):
    """Barlow Twins whose matrix products have the precision of the backend.

    The products are those of `BarlowTwins`, which takes them at full precision, but
    this class computes the whole loss anew. The recorded column "own precision" of an
    H100 was measured with the loss of the package and another product in its place.

    Args:
        batch_size: Images in a batch.
    """

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def terms(self, projections):
        z = self.prepare(projections)
        mean = ops.mean(z, axis=1)
        diagonals = ops.mean(z * ops.expand_dims(mean, 1), axis=0)
        invariance = ops.sum(ops.square(1.0 - diagonals)) / z.shape[1]
        if z.shape[2] < self.batch_size:
            squares = ops.square(_gram(ops.transpose(mean)))
        else:
            squares = ops.square(_gram(mean))
        redundancy = ops.sum(squares) / self.batch_size**2
        redundancy = redundancy - ops.sum(ops.square(ops.mean(diagonals, axis=0)))
        return {"invariance": invariance, "redundancy": redundancy}


@ops.custom_gradient
def _gram(x):
    """Compute x xᵀ, with the gradient (A + Aᵀ) x: one product instead of two."""

    def gradient(*arguments, upstream=None):
        if upstream is None:  # TensorFlow and JAX pass it without a name.
            (upstream,) = arguments
        return ops.matmul(upstream + ops.transpose(upstream), x)

    return ops.matmul(x, ops.transpose(x)), gradient
