import keras
import numpy as np
import pytest
from keras import ops

import helpers
from keras_mvssl import distribution


def test_matmul():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 5, 64)), rng.normal(size=(3, 64, 7))
    got = distribution.matmul(*(ops.convert_to_tensor(x, "float32") for x in (a, b)))
    np.testing.assert_allclose(ops.convert_to_numpy(got), a @ b, atol=1e-5)


def test_matmul_stays_exact_where_the_backend_may_round(monkeypatch):
    from keras_mvssl.distribution import precision

    monkeypatch.setattr(precision, "_may_round", lambda: True)
    test_matmul()


def test_require_rows():
    x = ops.ones((3, 2))
    assert distribution.require_rows(x, 3, "Too few.") is x
    with pytest.raises(ValueError, match=r"Too few. Received: shape=\(3, 2\)"):
        distribution.require_rows(x, 4, "Too few.")


def test_this_process_is_known():
    assert distribution.device_name()
    assert distribution.peak_memory() > 1e7
    assert set(distribution.versions()) == {"keras", keras.backend.backend()}


@pytest.mark.parametrize(
    "shape, axis", [((6, 4, 5, 3), -1), ((6, 3, 4, 5), 1), ((6, 7, 3), -1), ((6, 3), 1)]
)
@pytest.mark.parametrize("scale, center", [(True, True), (False, False)])
def test_fused_batch_normalization(shape, axis, scale, center):
    rng = np.random.default_rng(0)
    x = (3 * rng.normal(size=shape) + 1).astype("float32")
    upstream = rng.normal(size=shape).astype("float32")
    found = []
    for fuses in (False, True):
        layer = keras.layers.BatchNormalization(axis, scale=scale, center=center)
        model = keras.Sequential([keras.Input(shape[1:]), layer])
        helpers.set_numbered_weights(model)
        if fuses:
            distribution.fuse_batch_normalization(model)

        def function(x, layer=layer):
            return ops.sum(ops.multiply(layer(x, training=True), upstream))

        if keras.backend.backend() == "jax":  # without the state of the layer
            gradient = np.zeros(shape)
        else:
            _, gradient = helpers.value_and_gradient(function, x)
        weights = helpers.weights_of(model)
        found.append([gradient, layer(x, training=True), layer(x), *weights])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (other, one)), atol=1e-5)


def test_batch_normalization_is_fused_where_it_pays():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            layers.BatchNormalization(),
            layers.BatchNormalization(renorm=True),
            layers.LayerNormalization(),
        ]
    )
    distribution.fuse_batch_normalization(model)
    is_torch = keras.backend.backend() == "torch"
    assert ["call" in vars(layer) for layer in model.layers] == [is_torch, False, False]
    # Frozen, it uses what it has learned, as Keras' own does.
    layer = model.layers[0]
    layer.trainable = False
    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype("float32")
    y = ops.convert_to_numpy(layer(x, training=True))
    np.testing.assert_allclose(y, x / np.sqrt(1 + 1e-3), rtol=1e-5)
