import json

import keras
import numpy as np
import pytest

import helpers
from keras_mvssl import models


@pytest.mark.parametrize(
    "make, arguments, features, parameters",
    [
        (models.TinyResNet, {}, 128, 309_296),
        (models.ResNet18, {"stem": "cifar"}, 512, 11_173_962 - 5_130),
        (models.ResNet18, {"stem": "imagenet"}, 512, 11_689_512 - 513_000),
        (models.ResNet50, {"stem": "imagenet"}, 2048, 25_557_032 - 2_049_000),
    ],
)
def test_sizes_are_those_of_the_literature(make, arguments, features, parameters):
    # Published counts are of trainable parameters, with a classifier on top.
    encoder = make((32, 32, 3), **arguments)
    trainable = sum(int(np.prod(w.shape)) for w in encoder.trainable_weights)
    statistics = sum(int(np.prod(w.shape)) for w in encoder.non_trainable_weights)
    assert encoder.output_shape == (None, features)
    if make is models.TinyResNet:
        assert trainable + statistics == parameters
    else:
        assert trainable == parameters


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_any_size_and_channels(stem):
    encoder = models.ResNet18((None, None, 5), stem=stem, width=8)
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 33, 5))
    assert encoder.predict(images, verbose=0).shape == (2, 64)


def with_same_padding(encoder):
    """The encoder with Keras' padding "same" in place of padding layers."""

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return keras.layers.Identity(name=layer.name)
        if config.get("padding") == "valid" and hasattr(layer, "strides"):
            config["padding"] = "same"
        return type(layer).from_config(config)

    clone = keras.models.clone_model(encoder, clone_function=clone)
    clone.set_weights(encoder.get_weights())
    return clone


STEMS = [
    (models.TinyResNet, {}),
    (models.ResNet18, {"stem": "cifar"}),
    (models.ResNet18, {"stem": "imagenet"}),
    (models.ResNet50, {"stem": "imagenet"}),
]


@pytest.mark.parametrize("make, arguments", STEMS)
def test_even_sizes_have_the_numbers_of_padding_same(make, arguments):
    encoder = make((64, 32, 3), width=8, **arguments)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3))
    expected, found = (
        model.predict(images, verbose=0)
        for model in (with_same_padding(encoder), encoder)
    )
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make, arguments", STEMS)
def test_each_stride_gives_half_the_places_rounded_up(make, arguments):
    """At any size, and the same numbers where the sizes are open."""
    encoder = make((None, None, 3), width=8, **arguments)
    for size in ((1, 2), (7, 12), (33, 23)):
        fixed = make((*size, 3), width=8, **arguments)
        lengths = np.array(size)
        for layer in fixed.layers:
            stride = getattr(layer, "strides", (1, 1))[0]
            is_shortcut = "shortcut" in layer.name
            if stride > 1 and not is_shortcut:
                lengths = -(-lengths // 2)
            ends = ("_add", "_relu", "_pool")
            if is_shortcut or layer.name.endswith(ends):
                assert layer.output.shape[1:3] == tuple(lengths), layer.name
        fixed.set_weights(encoder.get_weights())
        images = np.random.default_rng(0).integers(0, 256, (2, *size, 3))
        one, other = (model.predict(images, verbose=0) for model in (encoder, fixed))
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_normalises_plain_images():
    encoder = models.TinyResNet((8, 8, 3), mean=(10, 20, 30), std=(1, 2, 4))
    layer = keras.Model(encoder.input, encoder.get_layer("normalization").output)
    got = layer.predict(np.full((1, 8, 8, 3), 34, "uint8"), verbose=0)[0, 0, 0]
    np.testing.assert_allclose(got, [24, 7, 1], rtol=1e-5)


def test_saved_encoder_has_nothing_custom(tmp_path):
    encoder = models.ResNet18((16, 16, 3), stem="cifar", width=8)
    encoder.save(tmp_path / "encoder.keras")
    modules = {type(layer).__module__ for layer in encoder.layers}
    assert all(module.startswith("keras.") for module in modules)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype="uint8")
    copy = keras.saving.load_model(tmp_path / "encoder.keras", safe_mode=True)
    np.testing.assert_array_equal(
        copy.predict(images, verbose=0), encoder.predict(images, verbose=0)
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(stem="mnist"), "stem='mnist'"),
        (dict(width=7), "width=7"),
        (dict(input_shape=(32, 32)), r"input_shape=\(32, 32\)"),
        (dict(mean=(1, 2)), "mean="),
        (dict(std=0.0), "std="),
        (dict(mean=float("nan")), "mean=nan"),
        (dict(width=8.0), r"width=8\.0"),
        (dict(input_shape=(32, 32.0, 3)), r"input_shape=\(32, 32\.0, 3\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.ResNet18(**{"input_shape": (32, 32, 3), **arguments})


def test_bad_projector():
    with pytest.raises(ValueError, match="dim=0"):
        models.Projector(16, dim=0)


@pytest.mark.parametrize(
    "make, arguments",
    [*STEMS[::2], *(pytest.param(*x, marks=pytest.mark.slow) for x in STEMS[1::2])],
)
def test_a_saved_encoder_reads_no_setting_of_keras(make, arguments, tmp_path):
    # Five channels: a shape of channels first would fail, or be taken for another axis.
    encoder = make((10, 12, 5), width=8, mean=range(5), std=range(1, 6), **arguments)
    images = np.random.default_rng(0).integers(0, 256, (2, 10, 12, 5)).astype("float32")
    expected = encoder(images)
    encoder.save(tmp_path / "encoder.keras")
    with helpers.keras_set_to("channels_first", "float16"):
        loaded = keras.saving.load_model(tmp_path / "encoder.keras")
        for model in (encoder, loaded):
            found = model(images)
            assert keras.backend.standardize_dtype(found.dtype) == "float32"
            np.testing.assert_array_equal(
                *map(keras.ops.convert_to_numpy, (found, expected))
            )
    with helpers.keras_set_to("channels_first"):
        built = make((10, 12, 5), width=8, **arguments)
        shapes = [layer.output.shape for layer in built.layers]
    assert shapes == [layer.output.shape for layer in encoder.layers]


def test_normalisation_is_that_of_earlier_versions():
    """To the bit: theirs had a list of a number for each channel."""
    layer = models.TinyResNet((8, 8, 3)).get_layer("normalization")
    earlier = keras.layers.Rescaling(layer.scale[0][0], layer.offset[0][0])
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("uint8")
    one, other = (keras.ops.convert_to_numpy(x(images)) for x in (layer, earlier))
    np.testing.assert_array_equal(one, other)


def test_sizes_from_numpy(tmp_path):
    eight, three = np.int64(8), np.int32(3)
    for model in (
        # In uint8, 64 channels and more would wrap.
        models.TinyResNet((eight, None, three), np.uint8(32), mean=np.arange(3.0)),
        models.TinyResNet((eight, eight, three), eight, std=np.float32(2)),
        models.Projector(eight, np.uint8(255), hidden_dim=three),
    ):
        model.save(tmp_path / "model.keras")  # as JSON
        json.dumps(model.get_config())
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.count_params() == model.count_params()


def test_channels_are_last_whatever_keras_is_set_to():
    with helpers.keras_set_to("channels_first"):
        model = models.ResNet18((32, 32, 3), width=8)
    assert model.get_layer("stem_conv").output.shape == (None, 16, 16, 8)
    assert model.get_layer("stem_pool").output.shape == (None, 8, 8, 8)
