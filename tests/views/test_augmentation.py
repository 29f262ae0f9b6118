import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_mvssl.views import Augmentation


def test_presets_are_the_papers():
    cifar10 = Augmentation.preset("cifar10")
    assert (cifar10.size, cifar10.crop_area) == ((32, 32), (0.08, 1.0))
    assert (cifar10.jitter, cifar10.hue, cifar10.grayscale) == (0.8, 0.0, 0.2)
    stl10 = Augmentation.preset("stl10")
    assert (stl10.size, stl10.crop_area) == ((64, 64), (0.2, 1.0))
    assert (stl10.hue, stl10.grayscale) == (0.0, 0.1)
    imagenet100 = Augmentation.preset("imagenet100")
    assert (imagenet100.size, imagenet100.hue) == ((128, 128), 0.1)
    assert (imagenet100.solarize, imagenet100.blur) == (0.2, 0.0)


def test_config_round_trip_and_replace():
    augmentation = Augmentation(size=(20, 30), blur=0.5)
    config = keras.saving.serialize_keras_object(augmentation)
    assert keras.saving.deserialize_keras_object(config) == augmentation
    assert dataclasses.replace(augmentation, size=8).size == (8, 8)


def test_numbers_from_numpy_are_written_as_json():
    number = np.float32(0.25)
    augmentation = Augmentation(
        size=np.array([20, 30]).tolist(),
        crop_area=(number, 1),
        flip=number,
        contrast=np.int64(1),
        hue=number,
    )
    config = json.loads(json.dumps(augmentation.get_config()))
    assert Augmentation.from_config(config) == augmentation


@pytest.mark.parametrize(
    "name, value",
    [
        ("size", 0),
        ("size", (32, -1)),
        ("size", (32, 32, 3)),
        ("size", 32.0),
        ("crop_area", 0.5),
        ("flip", "no"),
        ("crop_area", (0.0, 1.0)),
        ("crop_area", (0.5, 1.5)),
        ("crop_area", (0.9, 0.2)),
        ("crop_aspect", (-1.0, 1.0)),
        ("blur_sigma", (0.0, 1.0)),
        ("blur_sigma", (0.1, float("inf"))),
        ("crop_aspect", (0.5, float("inf"))),
        ("flip", 1.5),
        ("grayscale", -0.1),
        ("brightness", -1.0),
        ("contrast", float("nan")),
        ("hue", 0.6),
    ],
)
def test_bad_arguments(name, value):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        Augmentation(**{"size": 32, name: value})


def test_unknown_preset():
    with pytest.raises(ValueError, match="cifar10.*Received: name='cifar'"):
        Augmentation.preset("cifar")
