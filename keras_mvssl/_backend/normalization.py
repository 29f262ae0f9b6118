"""Batch normalisation on PyTorch as one fused operation, for training."""

import functools

import keras


def fuse_batch_normalization(model):
    """Make the batch normalisation of a model train with PyTorch's fused operation.

    Keras computes batch normalisation by a dozen operations in float32, forward and
    backward, each of which reads all activations from memory. The fused result is the
    same, up to rounding. The change stays with the layers, but their settings and
    weights do not change.
    """
    if keras.backend.backend() != "torch":
        return
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.BatchNormalization and not layer.renorm:
            layer.call = functools.partial(_call_fused, layer)


def is_single_process():
    """Whether this process of PyTorch trains alone."""
    import torch.distributed as dist

    return not dist.is_initialized() or dist.get_world_size() == 1


def _call_fused(layer, inputs, training=None, mask=None):
    def call_keras():
        return type(layer).call(layer, inputs, training=training, mask=mask)

    uses_batch_statistics = training and layer.trainable
    if not uses_batch_statistics or mask is not None or not is_single_process():
        return call_keras()
    import torch

    is_supported = inputs.dtype in (torch.float32, torch.bfloat16, torch.float16)
    axis = layer.axis % len(inputs.shape)
    count = inputs.shape.numel() // inputs.shape[axis]
    mean = layer.moving_mean.value.detach().clone()
    is_supported = is_supported and mean.dtype == torch.float32
    if not is_supported or count < 2 or inputs.is_meta:
        return call_keras()
    # PyTorch updates the moving variance with the unbiased variance of the batch, Keras
    # with the biased one, which is smaller by this factor.
    correction = count / (count - 1)
    variance = layer.moving_variance.value.detach() * correction
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
    layer.moving_variance.assign(variance / correction)
    return outputs.movedim(1, axis).to(getattr(torch, layer.compute_dtype))
