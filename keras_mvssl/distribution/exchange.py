"""What devices tell each other in a step, so that they compute what one would.

JAX computes on the whole batch, wherever its parts lie: nothing needs to be exchanged.
"""

import functools

import keras
from keras import ops

from keras_mvssl.distribution.job import processes
from keras_mvssl.distribution.job import replicas


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

        gathered = torch.cat(all_gather(x.contiguous()))
        if gathered.requires_grad:
            # Gloo sends gradients back as they lie in memory (pytorch/pytorch#192920).
            gathered.register_hook(lambda gradient: gradient.contiguous())
        return gathered
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


def share(loss, function, y):
    """A loss of which each device has the whole, as Keras sums it up over devices.

    With TensorFlow, gradients are summed over devices. Keras divides losses by their
    number where it has taken a mean itself, but neither scalars nor sums.

    Args:
        loss: What Keras made of the function, a scalar.
        function: The loss, a `keras.losses.Loss` or a function.
        y: The projections of all devices.
    """
    if keras.backend.backend() != "tensorflow" or _replica_context() is None:
        return loss
    values = ops.convert_to_tensor(getattr(function, "call", function)(y, y))
    # Keras makes a mean of what functions return.
    reduction = getattr(function, "reduction", "sum_over_batch_size")
    if len(values.shape) and reduction not in ("sum", "none", None):
        return loss
    if reduction == "sum":
        values = ops.sum(values)
    return loss - ops.cast(values, loss.dtype) * (1 - 1 / replicas())


def synchronize(model):
    """Prepares the training of a model on several devices.

    Batch normalisation takes its statistics over all devices, whatever its own
    settings, which are saved as they are. With PyTorch, gradients are averaged as they
    come. Both stay with the layers: train them further in all processes alike.

    Raises:
        ValueError: For what Keras does before it has the gradients of all devices.
    """
    if keras.backend.backend() == "jax" or replicas() == 1:
        return
    if keras.backend.backend() == "tensorflow":
        _refuse_what_keras_does_too_early(model)
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


def _refuse_what_keras_does_too_early(model):
    """With TensorFlow, Keras 3.15 sums gradients after all this."""
    optimizer = model.optimizer
    found = {
        name: value
        for name in (
            "clipnorm",
            "clipvalue",
            "global_clipnorm",
            "gradient_accumulation_steps",
        )
        if (value := getattr(optimizer, name, None)) is not None
    }
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        found["precision"] = "float16"
    if model.steps_per_execution > 1:
        found["steps_per_execution"] = model.steps_per_execution
    if getattr(model._compile_loss, "_user_loss_weights", None) is not None:
        found["loss_weights"] = model._compile_loss._user_loss_weights
    if found:
        settings = ", ".join(f"{name}={value}" for name, value in found.items())
        raise ValueError(
            "On several devices with TensorFlow, Keras does this before it has the "
            "gradients of all of them, or not at all. Leave it out, or use JAX or "
            f"PyTorch. Received: {settings}"
        )


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
