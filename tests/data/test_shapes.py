import zlib

import keras
import numpy as np
import pytest

from keras_mvssl import evaluation
from keras_mvssl import models
from keras_mvssl.data import shapes


@pytest.mark.parametrize("wrong", [dict(count=0), dict(count=2.5), dict(seed=-1)])
def test_wrong_numbers_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"`{name}` must be an int of at least"):
        shapes.draw(**dict(count=4) | wrong)


def test_deterministic_and_balanced():
    images, labels = shapes.draw(200, seed=3)
    again, _ = shapes.draw(200, seed=3)
    other, _ = shapes.draw(200, seed=4)
    assert images.shape == (200, 32, 32, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(images, again)
    assert (images != other).any()
    # Of these images it was tested that classes are not easily read off (below).
    assert zlib.crc32(images.tobytes()) == 2022770838
    assert (np.bincount(labels) == 20).all() and len(shapes.CLASS_NAMES) == 10


@pytest.mark.release
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="The images are NumPy's."
)
def test_class_is_the_shape_and_not_easily_read_off():
    train, test = shapes.draw(10_000, seed=0), shapes.draw(2_000, seed=1)
    assert evaluation.linear_probe(train, test).accuracy <= 0.35

    encoder = models.TinyResNet((32, 32, 3))
    features = [evaluation.extract_features(encoder, part) for part in (train, test)]
    assert evaluation.linear_probe(*features).accuracy <= 0.45

    outputs = keras.layers.Dense(10)(encoder.output)
    classifier = keras.Model(encoder.input, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    classifier.fit(*train, batch_size=128, epochs=5, verbose=0)
    assert classifier.evaluate(*test, verbose=0, return_dict=True)["accuracy"] > 0.95
