"""Exchange between devices in a step, so that the result is that of one device.

JAX needs no exchange: it computes on the whole batch, wherever the parts of it are.
"""

import functools

import keras
from keras import ops

from keras_mvssl.distribution.job import exchanges
from keras_mvssl.distribution.job import processes
from keras_mvssl.distribution.job import replicas


def gather(x):
    """Return the rows of all devices, in the order of the batch, with gradients.

    Args:
        x: A tensor `(rows, ...)`, with the same number of rows on each device.

    Returns:
        A tensor `(devices x rows, ...)`.
    """
    if keras.backend.backend() == "tensorflow":
        context = _replica_context()
        if context is not None:
            gathered = context.all_gather(x, axis=0)
            rows = x.shape[0] and x.shape[0] * context.num_replicas_in_sync
            return ops.reshape(gathered, (rows or -1, *x.shape[1:]))
    elif keras.backend.backend() == "torch" and exchanges():
        import torch
        from torch.distributed.nn.functional import all_gather

        gathered = torch.cat(all_gather(x.contiguous()))
        if gathered.requires_grad:
            # Gloo ignores the strides of gradients and sends them in the order of
            # memory (pytorch/pytorch#192920).
            gathered.register_hook(lambda gradient: gradient.contiguous())
        return gathered
    return x


def average(x):
    """Return the mean of a tensor over devices, with gradients."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        context = _replica_context()
        if context is not None:
            return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)
    elif keras.backend.backend() == "torch" and exchanges():
        from torch.distributed.nn.functional import all_reduce

        return all_reduce(x) / processes()[1]
    return x


def share_of_loss(loss, function, y):
    """Return the share of a loss that this device adds to the sum over devices.

    Every device computes the whole loss, and TensorFlow sums gradients over devices.
    Keras divides a loss by the number of devices if Keras has taken a mean itself, but
    divides neither scalars nor sums. This function divides them.

    Args:
        loss: A scalar, the value of `function` as Keras has reduced it.
        function: The loss, a `keras.losses.Loss` or a function.
        y: The projections of all devices.
    """
    if keras.backend.backend() != "tensorflow" or _replica_context() is None:
        return loss
    values = ops.convert_to_tensor(getattr(function, "call", function)(y, y))
    # Keras takes the mean of the values that a function returns.
    reduction = getattr(function, "reduction", "sum_over_batch_size")
    if len(values.shape) and reduction not in ("sum", "none", None):
        return loss
    if reduction == "sum":
        values = ops.sum(values)
    return loss - ops.cast(values, loss.dtype) * (1 - 1 / replicas())


def synchronize(model):
    """Prepare a model for training on several devices.

    Batch normalisation takes its statistics over all devices, whatever the settings of
    the layers; the settings are saved unchanged. With PyTorch, each gradient is
    averaged over processes once it is computed. Both changes stay with the layers, so
    any further training must run in all processes alike.

    Raises:
        ValueError: If the model has a setting that Keras applies before it has the
            gradients of all devices.
    """
    if keras.backend.backend() == "jax" or replicas() == 1:
        return
    if keras.backend.backend() == "tensorflow":
        _refuse_early_settings(model)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer._moments = functools.partial(_moments_over_devices, layer)
    if keras.backend.backend() == "torch":
        for variable in model.trainable_variables:
            if not hasattr(variable, "_averaging_hook"):
                register = variable.value.register_post_accumulate_grad_hook
                variable._averaging_hook = register(_average_gradient)


def copy_from_first_process(model):
    """Set the variables of a model in all processes to the values of the first."""
    if keras.backend.backend() != "torch" or processes()[1] == 1:
        return
    import torch.distributed as dist

    for variable in [*model.variables, *model.optimizer.variables]:
        dist.broadcast(variable.value.data, src=0)


def _refuse_early_settings(model):
    """Refuse settings that Keras 3.15 applies before it sums gradients, or ignores."""
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
            "On several devices with TensorFlow, Keras applies these settings before "
            "it has the gradients of all devices, or ignores them. Leave them out, or "
            f"use JAX or PyTorch. Received: {settings}"
        )


def _moments_over_devices(layer, inputs, mask):
    if mask is not None:
        raise ValueError(
            "Batch normalisation over several devices supports no mask. "
            f"Received: mask of shape {mask.shape}"
        )
    axes = layer._reduction_axes
    mean = average(ops.mean(inputs, axes))
    shape = [1] * len(inputs.shape)
    shape[layer.axis] = -1
    centred = inputs - ops.reshape(mean, shape)
    return mean, average(ops.mean(ops.square(centred), axes))


def _average_gradient(parameter):
    import torch.distributed as dist

    dist.all_reduce(parameter.grad)
    parameter.grad /= processes()[1]


def _replica_context():
    """Return TensorFlow's context if this is one of several replicas, or None."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
