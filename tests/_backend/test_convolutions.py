import contextlib

import keras
import numpy as np
import pytest
from keras import ops

import helpers
import keras_mvssl as mv
from keras_mvssl import _backend
from keras_mvssl import models
from keras_mvssl._backend import convolutions

BACKEND = keras.backend.backend()
has_own = pytest.mark.skipif(
    BACKEND == "tensorflow", reason="TensorFlow computes Keras' convolutions."
)
# Kernel, stride, height and width, channels in and out, images.
SIZES = [
    (1, 1, (5, 4), (1, 3), 3),
    (1, 2, (6, 5), (8, 16), 5),
    (1, (1, 3), (4, 7), (20, 9), 2),
    (3, 1, (8, 9), (3, 16), 7),
    (3, 1, (6, 6), (24, 24), 11),
    (3, 2, (8, 9), (16, 8), 7),
    (3, 2, (9, 8), (3, 96), 5),
    (3, 2, (4, 4), (17, 20), 13),
    (3, (2, 1), (7, 6), (5, 12), 3),
    (3, 1, (3, 3), (96, 7), 13),
    ((3, 1), 2, (7, 6), (4, 4), 3),
    (5, 1, (7, 8), (8, 17), 3),
    (5, 2, (11, 10), (2, 16), 5),
    (7, 1, (9, 8), (3, 8), 3),
    (7, 2, (16, 17), (3, 64), 5),
    (7, 3, (10, 8), (1, 1), 2),
]
# Kernels that do not fit into the image: "same" alone is possible.
SMALL = [
    (3, 1, (2, 2), (24, 5), 5),
    (3, 1, (1, 1), (4, 4), 3),
    (3, 2, (2, 1), (16, 32), 5),
    (5, 1, (3, 4), (3, 8), 7),
    (7, 2, (5, 3), (8, 8), 3),
]


def layer_of(kernel, stride, channels, padding, **arguments):
    layer = keras.layers.Conv2D(
        channels[1], kernel, strides=stride, padding=padding, **arguments
    )
    layer.build((None, None, None, channels[0]))
    return layer


def reference(x, w, strides, padding, upstream=None):
    """Convolution in float64, or its gradients of images and filters."""
    (kh, kw), (sh, sw) = w.shape[:2], strides
    around = [(0, 0)] * 4
    if padding == "same":
        for axis, k, s in ((1, kh, sh), (2, kw, sw)):
            total = max((-(-x.shape[axis] // s) - 1) * s + k - x.shape[axis], 0)
            around[axis] = (total // 2, total - total // 2)
    padded = np.pad(x.astype("float64"), around)
    rows = (padded.shape[1] - kh) // sh + 1
    columns = (padded.shape[2] - kw) // sw + 1
    outputs = 0.0
    of_images, of_filters = np.zeros_like(padded), np.zeros(w.shape)
    for i in range(kh):
        for j in range(kw):
            place = np.s_[
                :,
                i : i + (rows - 1) * sh + 1 : sh,
                j : j + (columns - 1) * sw + 1 : sw,
            ]
            outputs = outputs + padded[place] @ w[i, j].astype("float64")
            if upstream is not None:
                of_images[place] += upstream @ w[i, j].astype("float64").T
                of_filters[i, j] = np.einsum("npqc,npqo->co", padded[place], upstream)
    top, left = around[1][0], around[2][0]
    of_images = of_images[:, top : top + x.shape[1], left : left + x.shape[2]]
    return outputs if upstream is None else (of_images, of_filters)


def assert_close(found, expected, tolerance=1e-5):
    found = np.asarray(ops.convert_to_numpy(found), "float64")
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=tolerance * abs(expected).max())


def processors(monkeypatch):
    """Be on a processor without AVX-512, then on one with it: JAX tells them apart."""
    if BACKEND != "jax":
        yield
        return
    from keras_mvssl._backend import jax_convolutions

    for answer in (False, True):
        monkeypatch.setattr(jax_convolutions, "has_avx512", lambda known=answer: known)
        yield


@has_own
@pytest.mark.parametrize(
    "case, padding",
    [(case, padding) for case in SIZES for padding in ("same", "valid")]
    + [(case, "same") for case in SMALL],
)
def test_gradients_are_those_of_float64(case, padding, monkeypatch):
    kernel, stride, size, channels, images = case
    layer = layer_of(kernel, stride, channels, padding, use_bias=False)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(images, *size, channels[0])).astype("float32")
    w = np.asarray(ops.convert_to_numpy(layer.kernel))
    expected = reference(x, w, layer.strides, padding)
    upstream = rng.normal(size=expected.shape)
    if BACKEND == "jax":  # Several blocks, and a rest.
        from keras_mvssl._backend import jax_convolutions

        two_images = 8 * expected[0, ..., 0].size * channels[0]
        if channels[0] < jax_convolutions.FEW_INPUTS:
            two_images *= w[..., 0, 0].size
        monkeypatch.setattr(jax_convolutions, "BLOCK_BYTES", two_images)

    def of_images(x):
        return ops.sum(layer(x) * ops.convert_to_tensor(upstream, "float32"))

    def of_filters(w):
        outputs = layer.convolution_op(ops.convert_to_tensor(x), w)
        return ops.sum(outputs * ops.convert_to_tensor(upstream, "float32"))

    of_float64 = reference(x, w, layer.strides, padding, upstream)
    with _backend.fast_convolutions(layer, training=True):
        assert "convolution_op" in vars(layer)
        assert_close(layer(x), expected)
        found = helpers.value_and_gradient(of_images, x)[1]
        assert_close(found, of_float64[0])
        for _ in processors(monkeypatch):
            found = helpers.value_and_gradient(of_filters, w)[1]
            assert_close(found, of_float64[1])


@has_own
def test_biases_and_activations():
    layer = layer_of(3, 2, (3, 4), "same", activation="relu")
    layer.bias.assign([0.1, -0.2, 0.3, 0.0])
    x = np.random.default_rng(0).normal(size=(3, 5, 6, 3)).astype("float32")
    expected = ops.convert_to_numpy(layer(x))
    with _backend.fast_convolutions(layer, training=True):
        found = layer(x)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-6)


class Doubled(keras.layers.Conv2D):
    """A convolution of the user's own."""

    def convolution_op(self, inputs, kernel):
        return 2 * super().convolution_op(inputs, kernel)


@has_own
@pytest.mark.parametrize(
    "layer",
    [
        Doubled(4, 3),
        keras.layers.Conv2D(4, 3, groups=2),
        keras.layers.Conv2D(4, 3, dilation_rate=2),
        keras.layers.DepthwiseConv2D(3),
        keras.layers.Conv1D(4, 3),
    ],
)
def test_what_is_not_covered_is_left_to_keras(layer):
    shape = (2, 9, 2) if isinstance(layer, keras.layers.Conv1D) else (2, 9, 8, 2)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    expected = layer(x)
    with _backend.fast_convolutions(layer, training=True):
        assert "convolution_op" not in vars(layer)
        found = layer(x)
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, (found, expected)))


@has_own
def test_mixed_precision():
    """On PyTorch in bfloat16 as well, on JAX left to XLA."""
    layer = layer_of(3, 2, (8, 16), "same", dtype="mixed_bfloat16")
    x = np.random.default_rng(0).normal(size=(4, 7, 8, 8)).astype("float32")

    def function(x):
        outputs = layer(x)
        assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
        return ops.sum(ops.square(ops.cast(outputs, "float32")))

    expected = helpers.value_and_gradient(function, x)
    with _backend.fast_convolutions(layer, training=True):
        found = helpers.value_and_gradient(function, x)
    assert found[0] == pytest.approx(expected[0], rel=0.01)
    tolerance = 0.02 * abs(expected[1]).max()
    np.testing.assert_allclose(found[1], expected[1], atol=tolerance)


@has_own
def test_layers_that_are_computed_again_are_left_to_keras():
    """PyTorch computes them in the backward pass, outside of the context."""
    with keras.RematScope(mode="full"):
        layer = layer_of(3, 1, (2, 3), "same")
    with _backend.fast_convolutions(layer, training=True):
        assert "convolution_op" not in vars(layer)


@has_own
def test_layers_get_back_what_they_had():
    """At any depth, when an error ends the call, and one scope within another."""
    block = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 3)])
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, block(inputs))
    (layer,) = (x for x in model._flatten_layers() if type(x) is keras.layers.Conv2D)
    kept = dict(vars(layer))
    outer = _backend.fast_convolutions(model, training=True)
    with contextlib.suppress(ZeroDivisionError), outer:
        with _backend.fast_convolutions(block, training=True):
            assert "convolution_op" in vars(layer)
        assert "convolution_op" in vars(layer)
        raise ZeroDivisionError
    assert vars(layer) == kept
    with _backend.fast_convolutions(model):  # Without gradients
        assert ("convolution_op" in vars(layer)) == (BACKEND == "torch")


def test_no_other_platform(monkeypatch):
    if BACKEND == "jax":
        import jax

        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    expected = BACKEND == "torch"
    assert (convolutions._own_convolution(training=True) is not None) == expected


@has_own
def test_training_uses_them(model, monkeypatch):
    used = []
    own = convolutions._own_convolution(training=True)

    def spy(layer, inputs, kernel):
        used.append(layer.name)
        return own(layer, inputs, kernel)

    monkeypatch.setattr(convolutions, "_own_convolution", lambda training: spy)
    views = np.random.default_rng(0).integers(0, 256, (4, 2, 8, 8, 3), "uint8")
    model.compile(optimizer="sgd")
    model.fit(views, batch_size=4, verbose=0)
    names = [
        layer.name
        for layer in model.encoder.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert set(used) == set(names)


@pytest.mark.skipif(BACKEND != "torch", reason="Others gain nothing without gradients.")
def test_features_use_them(monkeypatch):
    used = []
    own = convolutions._own_convolution(training=False)

    def spy(layer, inputs, kernel):
        used.append(layer)
        return own(layer, inputs, kernel)

    monkeypatch.setattr(convolutions, "_own_convolution", lambda training: spy)
    images = np.zeros((3, 8, 8, 3), "uint8")
    mv.evaluation.extract_features(helpers.small_encoder((8, 8, 3)), (images, [0] * 3))
    assert used


def no_convolution(training):
    return None


@has_own
def test_training_computes_the_same(monkeypatch):
    """Twenty steps of a whole network, with small images as in its last stages."""
    views = np.random.default_rng(0).integers(0, 256, (12, 2, 12, 10, 3), "uint8")

    def losses(is_own):
        encoder = models.TinyResNet((12, 10, 3), width=8)
        model = mv.MultiViewModel(encoder, models.Projector(64, dim=8))
        helpers.set_numbered_weights(model)
        # Of the losses, the one that amplifies rounding least.
        loss = mv.losses.BarlowTwins(pairing="all")
        model.compile(optimizer=keras.optimizers.SGD(0.01), loss=loss)
        with monkeypatch.context() as patched:
            if not is_own:
                patched.setattr(convolutions, "_own_convolution", no_convolution)
            history = model.fit(views, batch_size=12, epochs=20, verbose=0)
        return history.history["loss"]

    theirs = losses(is_own=False)
    for _ in processors(monkeypatch):
        ours = losses(is_own=True)
        assert ours != theirs
        assert ours[0] == pytest.approx(theirs[0], rel=1e-6)
        assert ours == pytest.approx(theirs, rel=1e-4)
        assert ours[-1] < 0.99 * ours[0]


@pytest.mark.skipif(BACKEND != "torch", reason="Only PyTorch has memory formats.")
@pytest.mark.parametrize("accumulate", [None, 2])
def test_filters_lie_as_pytorch_takes_them(accumulate, monkeypatch):
    """With what the optimizer keeps of them, and with the same weights in the end."""
    import torch

    views = np.random.default_rng(0).integers(0, 256, (8, 2, 12, 12, 3), "uint8")
    weights = []
    for is_laid_out in (False, True):
        encoder = models.TinyResNet((12, 12, 3), width=8)
        model = mv.MultiViewModel(encoder, models.Projector(64, dim=4))
        helpers.set_numbered_weights(model)
        optimizer = keras.optimizers.AdamW(1e-3, gradient_accumulation_steps=accumulate)
        model.compile(optimizer=optimizer)
        with monkeypatch.context() as patched:
            if not is_laid_out:
                patched.setattr(_backend, "lay_out_filters", lambda model: None)
            model.fit(views, batch_size=4, epochs=3, verbose=0, shuffle=False)
        kernels = [
            x.value.permute(3, 2, 0, 1)
            for x in (*model.trainable_variables, *model.optimizer.variables)
            if len(x.shape) == 4 and x.shape[0] > 1
        ]
        # A stem and 8 more, two moments of each, and gradients.
        assert len(kernels) == 9 * (3 + (accumulate is not None))
        for kernel in kernels:
            memory = torch.channels_last if is_laid_out else torch.contiguous_format
            assert is_laid_out == kernel.is_contiguous(memory_format=memory)
        weights.append([*helpers.weights_of(model), *model.optimizer.variables])
    for one, other in zip(*weights, strict=True):
        one, other = map(ops.convert_to_numpy, (one, other))
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_filters_stay_where_processes_exchange_them(model, monkeypatch):
    """NCCL wants tensors that are contiguous, or channels-last, as they are."""
    model.compile(optimizer="sgd")
    monkeypatch.setattr(convolutions, "is_single_process", lambda: False)
    kernels = [x for x in model.trainable_variables if len(x.shape) == 4]
    before = [kernel.value for kernel in kernels]
    _backend.lay_out_filters(model)
    for kernel, value in zip(kernels, before, strict=True):
        assert kernel.value is value
        assert BACKEND != "torch" or value.is_contiguous()


def test_a_model_that_is_not_compiled_says_so(model):
    uncompiled = mv.MultiViewModel(model.encoder, model.projector)
    with pytest.raises(ValueError, match="call `compile"):
        uncompiled.fit(np.zeros((4, 2, 12, 12, 3), "uint8"), verbose=0)
