import numpy as np
import pytest

from keras_mvssl.evaluation import extract_features
from keras_mvssl.evaluation import linear_probe
from keras_mvssl.evaluation.logistic import _fit


def clusters(count=600, dim=10, classes=4, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, dim))
    labels = rng.integers(0, classes, count)
    return centres[labels] + noise * rng.normal(size=(count, dim)), labels


def test_tells_separable_clusters_apart():
    result = linear_probe(clusters(noise=0.1), clusters(noise=0.1, seed=1))
    assert result.accuracy == 1.0


def test_solution_is_the_minimum():
    x, y = clusters(300)
    weights = _fit(x.astype("float32"), y, 4, l2=1e-2, tolerance=1e-6)
    weights = weights.astype("float64")
    scores = x @ weights[:-1] + weights[-1]
    share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    error = (share - np.eye(4)[y]) / len(x)
    gradient = x.T @ error + 1e-2 * weights[:-1]
    assert np.abs(gradient).max() < 1e-5 and np.abs(error.sum(axis=0)).max() < 1e-5


def test_regularisation_is_chosen_where_features_are_noise():
    # 200 useless features: the unpenalised classifier memorises them.
    rng = np.random.default_rng(2)
    (x, y), (x_test, y_test) = clusters(300), clusters(2000, seed=1)
    x = np.hstack([x, rng.normal(size=(300, 200))])
    x_test = np.hstack([x_test, rng.normal(size=(2000, 200))])
    chosen = linear_probe((x, y), (x_test, y_test))
    assert chosen.l2 >= 1e-2
    weak = linear_probe((x, y), (x_test, y_test), l2=1e-5)
    assert chosen.accuracy > weak.accuracy


def test_is_deterministic_and_blind_to_scale():
    train, test = clusters(), clusters(seed=1)
    first, again = linear_probe(train, test), linear_probe(train, test)
    np.testing.assert_array_equal(first.predictions, again.predictions)
    scale = 10.0 ** np.arange(-5, 5)
    scaled = linear_probe((train[0] * scale, train[1]), (test[0] * scale, test[1]))
    assert scaled.accuracy == pytest.approx(first.accuracy, abs=0.01)


def test_test_features_are_standardised_like_the_training_ones():
    train, (x, y) = clusters(noise=0.1), clusters(noise=0.1, seed=1)
    # One test example at a time has no statistics of its own.
    alone = [linear_probe(train, (x[[i]], y[[i]]), l2=1e-2).accuracy for i in range(5)]
    assert alone == [1.0] * 5


def test_constant_features_and_gaps_in_labels():
    x, y = clusters()
    x[:, 0] = 7.0
    assert linear_probe((x, y * 10 + 3), (x, y * 10 + 3)).accuracy > 0.7


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x, y: (x, y[:-1]), "one label for each input"),
        (lambda x, y: (x, np.zeros_like(y)), r"two classes.*labels=\[0\]"),
        (lambda x, y: (x[y != 2], y[y != 2]), r"labels \[2\] in test only"),
        (lambda x, y: (np.where(x > 3, np.nan, x), y), "Received: [0-9]+ values"),
        (lambda x, y: (x, y - 1), "at least 0"),
        (lambda x, y: (x[:, 1:], y), "same features"),
        (lambda x, y: x, "pair"),
        (lambda x, y: (x, y + 0.5), "whole numbers"),
    ],
)
def test_bad_data(change, message):
    train = clusters()
    with pytest.raises(ValueError, match=message):
        linear_probe(change(*train), train)


@pytest.mark.parametrize("batch_size", [16, 7, 64])
def test_features_of_every_image_in_order(model, labelled, batch_size):
    images, labels = labelled
    features, got_labels = extract_features(model.encoder, labelled, batch_size)
    np.testing.assert_array_equal(got_labels, labels)
    expected = model.encoder.predict(images, batch_size=40, verbose=0)
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_features_of_a_stream(model, labelled):
    tf = pytest.importorskip("tensorflow")
    stream = tf.data.Dataset.from_tensor_slices(labelled)
    got = extract_features(model.encoder, stream, 16)
    expected = extract_features(model.encoder, labelled, 16)
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, atol=1e-5)
