"""What devices tell each other in a step, so that they compute what one would.

JAX computes on the whole batch, wherever its parts lie: nothing needs to be exchanged.
"""

import functools

import keras
from keras import ops

from keras_mvssl.distribution.parallel import processes
from keras_mvssl.distribution.parallel import replicas


def gather(x):
    """The rows of all devices, in the order of the batch; gradients flow back.

    Args:
        x: A tensor `(rows, ...)`, of as many rows on each device.

    Returns:
        A tensor `(devices x rows, ...)`.
    """
    if keras.backend.backend() == "tensorflow":
        context = _replica_context()
        if context is not None:
            gathered = context.all_gather(x, axis=0)
            rows = x.shape[0] and x.shape[0] * context.num_replicas_in_sync
            return ops.reshape(gathered, (rows or -1, *x.shape[1:]))
    elif keras.backend.backend() == "torch" and processes()[1] > 1:
        import torch
        from torch.distributed.nn.functional import all_gather

        return torch.cat(all_gather(x.contiguous()))
    return x


def average(x):
    """The mean of a tensor over devices; gradients flow back."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        context = _replica_context()
        if context is not None:
            return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)
    elif keras.backend.backend() == "torch" and processes()[1] > 1:
        from torch.distributed.nn.functional import all_reduce

        return all_reduce(x) / processes()[1]
    return x


def share(loss, values):
    """A loss of which each device has the whole, as Keras sums it up over devices.

    With TensorFlow, gradients are summed over devices. Keras divides losses by their
    number, but not those that are scalars from the start.

    Args:
        loss: What Keras made of the values, a scalar.
        values: What the loss function returned.
    """
    if keras.backend.backend() == "tensorflow" and _replica_context() is not None:
        values = ops.convert_to_tensor(values)
        if not len(values.shape):
            return loss - ops.cast(values, loss.dtype) * (1 - 1 / replicas())
    return loss


def synchronize(model):
    """Prepares the training of a model on several devices.

    Batch normalisation takes its statistics over all devices, whatever its own
    settings, which are saved as they are. With PyTorch, gradients are averaged as they
    come.
    """
    if keras.backend.backend() == "jax" or replicas() == 1:
        return
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer._moments = functools.partial(_moments, layer)
    if keras.backend.backend() == "torch":
        for variable in model.trainable_variables:
            if not hasattr(variable, "_averages"):
                hook = variable.value.register_post_accumulate_grad_hook(_average)
                variable._averages = hook


def equalize(model):
    """Gives the variables of all processes the values of the first one."""
    if keras.backend.backend() != "torch" or processes()[1] == 1:
        return
    import torch.distributed as dist

    for variable in [*model.variables, *model.optimizer.variables]:
        dist.broadcast(variable.value.data, src=0)


def _moments(layer, inputs, mask):
    if mask is not None:
        raise ValueError(
            "Batch normalisation over several devices takes no mask. "
            f"Received: mask of shape {mask.shape}"
        )
    axes = layer._reduction_axes
    mean = average(ops.mean(inputs, axes))
    shape = [1] * len(inputs.shape)
    shape[layer.axis] = -1
    centred = inputs - ops.reshape(mean, shape)
    return mean, average(ops.mean(ops.square(centred), axes))


def _average(parameter):
    import torch.distributed as dist

    dist.all_reduce(parameter.grad)
    parameter.grad /= processes()[1]


def _replica_context():
    """TensorFlow's context of one of several replicas, or None."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
