import keras

from keras_mvssl import _backend


def test_device_and_versions_are_known():
    assert _backend.device_name()
    assert set(_backend.versions()) == {"keras", keras.backend.backend()}
