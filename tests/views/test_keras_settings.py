"""Views under what other programs set in Keras and in its backends."""

import keras
import numpy as np
import pytest
from keras import ops

import helpers
from keras_mvssl.views import Augmentation
from keras_mvssl.views import RandomViews


@keras.saving.register_keras_serializable("tests")
def dim(images, draws):
    return images * ops.reshape(draws("dim"), (-1, 1, 1, 1))


AUGMENTATIONS = [
    Augmentation(size=8, blur=0.5, solarize=0.5, hue=0.3, grayscale=0.5),
    Augmentation(size=(20, 17), saturation=0, hue=0, grayscale=0),
]


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=["shrunk", "enlarged"])
def test_views_do_not_depend_on_floatx(images, augmentation, dtype):
    def make():
        layer = RandomViews(augmentation, 2, extra=[dim])
        made = layer(images, step=3), layer(images), layer(images, training=True)
        assert {keras.backend.standardize_dtype(x.dtype) for x in made} == {"float32"}
        return list(map(ops.convert_to_numpy, made))

    expected = make()
    with helpers.keras_set_to(floatx=dtype):
        for one, other in zip(make(), expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16", "float64"])
def test_views_are_float32_under_any_policy(images, dtype):
    layer = RandomViews(AUGMENTATIONS[0], 2, dtype=dtype)
    symbol = keras.KerasTensor((8, 12, 12, 3), "uint8")
    for call in ({}, {"training": True}, {"step": 4}):
        assert layer.compute_output_spec(symbol, **call).dtype == "float32"
        made = layer(images, **call).dtype
        assert keras.backend.standardize_dtype(made) == "float32"
    assert RandomViews.from_config(layer.get_config()).dtype_policy.name == dtype


@pytest.mark.parametrize(
    "call, views",
    [
        *[({"step": 3, "training": mode}, 3) for mode in (None, False, True)],
        *[({"training": True}, 3), ({"training": False}, 1), ({}, None)],
    ],
)
def test_symbolic_views_have_the_shape_of_real_ones(images, call, views):
    layer = RandomViews(AUGMENTATIONS[0], 3)
    declared = layer(keras.Input((12, 12, 3), dtype="uint8"), **call).shape
    assert declared == (None, views, 8, 8, 3)
    if views:
        assert tuple(layer(images, **call).shape)[1:] == declared[1:]
    with pytest.raises(ValueError, match="with H, W and C known.*Received"):
        layer(keras.Input((None, None, 3)), **call)


DRAWN = """
import sys
import keras, numpy as np
import keras_mvssl as mv, helpers

x = np.random.default_rng(0).integers(0, 256, (16, 12, 12, 3)).astype("uint8")
augmentation = mv.views.Augmentation(size=12, blur=0.5, solarize=0.5, hue=0.3)

def drawn():
    streamed = mv.views.KerasCVViews(augmentation, 2)(x, step=1)
    made = mv.views.RandomViews(augmentation, 2)(x, step=1)
    return [np.asarray(streamed), keras.ops.convert_to_numpy(made)]
"""
SAVED = DRAWN + "np.savez(sys.argv[1], *drawn())"
DETERMINISTIC = (
    DRAWN
    + """
def trained():
    keras.utils.set_random_seed(0)
    views = mv.views.RandomViews(augmentation, 2)
    encoder = helpers.small_encoder((12, 12, 3))
    model = mv.MultiViewModel(encoder, mv.models.Projector(16, 8), views)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(x, batch_size=8, verbose=0)
    return helpers.weights_of(model)

import tensorflow as tf

tf.config.experimental.enable_op_determinism()
if keras.backend.backend() == "torch":
    import torch

    torch.use_deterministic_algorithms(True)
for one, other in zip(drawn(), np.load(sys.argv[1]).values(), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-3)
for one, other in zip(trained(), trained(), strict=True):
    np.testing.assert_array_equal(one, other)
"""
)


@pytest.mark.slow
def test_deterministic_operations_change_no_view_and_train(tmp_path):
    pytest.importorskip("keras_cv")
    # Each in a process of its own: the switch cannot be turned back.
    for script in (SAVED, DETERMINISTIC):
        found = helpers.run_script("-c", script, tmp_path / "views.npz")
        assert found.returncode == 0, found.stderr[-3000:]
