"""Batch normalisation in training on PyTorch, as one operation."""

import functools

import keras


def fuse_batch_normalization(model):
    """Lets the batch normalisation of a model train in PyTorch's own operation.

    Keras computes it from a dozen operations in float32, forward and backward, each of
    which goes through all activations in memory. The result is the same, up to
    roundings. It stays with the layers, whose settings and weights do not change.
    """
    if keras.backend.backend() != "torch":
        return
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.BatchNormalization and not layer.renorm:
            layer.call = functools.partial(_call, layer)


def _is_alone():
    import torch.distributed as dist

    return not dist.is_initialized() or dist.get_world_size() == 1


def _call(layer, inputs, training=None, mask=None):
    def as_keras_does():
        return type(layer).call(layer, inputs, training=training, mask=mask)

    if not training or not layer.trainable or mask is not None or not _is_alone():
        return as_keras_does()
    import torch

    narrow = inputs.dtype in (torch.float32, torch.bfloat16, torch.float16)
    axis = layer.axis % len(inputs.shape)
    count = inputs.shape.numel() // inputs.shape[axis]
    mean = layer.moving_mean.value.detach().clone()
    if not narrow or mean.dtype != torch.float32 or count < 2 or inputs.is_meta:
        return as_keras_does()
    # PyTorch keeps the unbiased variance, Keras the biased one.
    unbiased = count / (count - 1)
    variance = layer.moving_variance.value.detach() * unbiased
    outputs = torch.nn.functional.batch_norm(
        inputs.movedim(axis, 1),
        mean,
        variance,
        layer.gamma.value.to(mean.dtype) if layer.scale else None,
        layer.beta.value.to(mean.dtype) if layer.center else None,
        training=True,
        momentum=1.0 - layer.momentum,
        eps=layer.epsilon,
    )
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance / unbiased)
    return outputs.movedim(1, axis).to(getattr(torch, layer.compute_dtype))
