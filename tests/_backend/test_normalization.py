from unittest import mock

import keras
import numpy as np
import pytest
from keras import ops

import helpers
from keras_mvssl import _backend
from keras_mvssl._backend import normalization

on_torch = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="Others compile Keras' operations."
)
SHAPES = [((6, 4, 5, 3), -1), ((6, 3, 4, 5), 1), ((6, 7, 3), -1), ((6, 3), 1)]


@on_torch
@pytest.mark.parametrize("shape, axis", SHAPES)
@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_fused_batch_normalization(shape, axis, weights, dtype):
    rng = np.random.default_rng(0)
    x = (3 * rng.normal(size=shape) + 1).astype("float32")
    upstream = ops.convert_to_tensor(rng.normal(size=shape), "float32")
    found = []
    for fuses in (False, True):
        layer = keras.layers.BatchNormalization(
            axis, scale=weights, center=weights, dtype=dtype
        )
        model = keras.Sequential([keras.Input(shape[1:]), layer])
        helpers.set_numbered_weights(model)
        if fuses:
            _backend.fuse_batch_normalization(model)

        def function(x, layer=layer):
            y = layer(x, training=True)
            assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
            return ops.sum(ops.cast(y, "float32") * upstream)

        _, gradient = helpers.value_and_gradient(function, x)
        gradients = [w.value.grad for w in layer.trainable_variables]
        values = [layer(x, training=True), layer(x), *helpers.weights_of(model)]
        found.append([gradient, *gradients, *values])
    tolerance = 1e-5 if dtype == "float32" else 0.03
    for one, other in zip(*found, strict=True):
        one, other = (np.float32(ops.convert_to_numpy(x)) for x in (one, other))
        np.testing.assert_allclose(other, one, atol=tolerance, rtol=tolerance)


@on_torch
def test_what_cannot_be_fused_is_left_to_keras(monkeypatch):
    """Integers, masks, one row, frozen layers, several processes."""
    x = np.random.default_rng(0).integers(0, 9, (5, 4, 3))
    rows = ops.convert_to_tensor(x, "float32")
    mask = ops.convert_to_tensor(np.arange(20).reshape(5, 4) % 3 > 0)
    cases = [
        (ops.convert_to_tensor(x, "uint8"), None),
        (rows, mask),
        (rows[:1, :1], None),
    ]
    found = []
    for fuses in (False, True):
        layer = keras.layers.BatchNormalization(autocast=False)
        model = keras.Sequential([keras.Input((4, 3)), layer])
        if fuses:
            _backend.fuse_batch_normalization(model)
        outputs = [layer(y, training=True, mask=mask) for y, mask in cases]
        layer.trainable = False
        outputs.append(layer(rows, training=True))
        found.append([*outputs, *helpers.weights_of(layer)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (one, other)))
    layer.trainable = True
    monkeypatch.setattr(normalization, "is_single_process", lambda: False)
    spy = mock.Mock(side_effect=layer._moments)
    layer._moments = spy  # as `synchronize` gives it one
    layer(rows, training=True)
    assert spy.call_count == 1


def test_training_fuses_batch_normalization(model):
    fused = ["call" in vars(layer) for layer in model._flatten_layers()]
    assert any(fused) == (keras.backend.backend() == "torch")
    layer = keras.layers.BatchNormalization(renorm=True)
    _backend.fuse_batch_normalization(keras.Sequential([layer]))
    assert "call" not in vars(layer)
