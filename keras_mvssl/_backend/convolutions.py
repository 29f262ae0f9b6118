"""Convolutions of Keras' layers, computed faster on JAX and PyTorch."""

import contextlib
import functools

import keras

from keras_mvssl._backend.normalization import is_single_process


@contextlib.contextmanager
def fast_convolutions(model, training=False):
    """While it lasts, let a model compute its convolutions in a faster way.

    Results are the same, up to rounding. Layers get back what they had, so that saved
    and exported models are those of Keras alone.

    - JAX on a CPU, in training: gradients as in `jax_convolutions`.
    - PyTorch: as in `torch_convolutions`, without copies of the images.

    Args:
        model: A `keras.Model` or layer, with convolutions at any depth. Covered are
            `Conv2D` layers, channels last, without groups and dilation. Layers that
            compute their outputs again in the backward pass (`keras.RematScope`) are
            not covered: on PyTorch that is after the context has ended.
        training: Whether gradients will be needed.
    """
    convolution = _own_convolution(training)
    if convolution is None:
        yield
        return
    layers = [layer for layer in model._flatten_layers() if _is_covered(layer)]
    for layer in layers:
        # Past Keras' tracking: the entry is no part of the layer's state.
        layer.__dict__["convolution_op"] = functools.partial(convolution, layer)
    try:
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("convolution_op", None)


def lay_out_filters(model):
    """Lay out the filters of a compiled model as convolutions of PyTorch take them.

    The order in memory stays with the variables, but no shape and no value changes.
    Nothing happens on other backends, and where several processes exchange gradients:
    NCCL wants tensors without such an order.
    """
    if keras.backend.backend() != "torch" or not model.compiled:
        return
    from keras_mvssl._backend import torch_convolutions

    if not is_single_process():
        return
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    layers = [layer for layer in model._flatten_layers() if _is_covered(layer)]
    kernels = [x.kernel for x in layers if x.built and tuple(x.kernel_size) != (1, 1)]
    kernels = [kernel for kernel in kernels if isinstance(kernel, keras.Variable)]
    torch_convolutions.lay_out(kernels, model.optimizer.variables)


def _own_convolution(training):
    if keras.backend.backend() == "torch":
        from keras_mvssl._backend import torch_convolutions

        return torch_convolutions.convolution
    if keras.backend.backend() == "jax" and training:
        import jax

        if jax.default_backend() == "cpu":
            from keras_mvssl._backend import jax_convolutions

            return jax_convolutions.convolution
    return None


def _is_covered(layer):
    return (
        isinstance(layer, keras.layers.Conv2D)
        and type(layer).convolution_op is keras.layers.Conv2D.convolution_op
        and "convolution_op" not in layer.__dict__
        and layer.data_format == "channels_last"
        and layer.groups == 1
        and tuple(layer.dilation_rate) == (1, 1)
        and layer._remat_mode is None
    )
