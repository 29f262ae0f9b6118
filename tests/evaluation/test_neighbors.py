import numpy as np
import pytest

from keras_mvssl.evaluation import knn
from keras_mvssl.evaluation.neighbors import nearest


def brute_force(train, test, k, temperature):
    """In float64, one example at a time."""

    def unit(x):
        x = np.asarray(x, "float64")
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    cosines = unit(test[0]) @ unit(train[0]).T
    predictions = []
    for row in cosines:
        best = np.argsort(-row)[:k]
        votes = {}
        for i in best:
            label = train[1][i]
            votes[label] = votes.get(label, 0) + np.exp(row[i] / temperature)
        predictions.append(max(votes, key=votes.get))
    return np.array(predictions)


@pytest.mark.parametrize("k", [1, 20, 200])
def test_votes_as_by_brute_force(k):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 16))
    labels = rng.integers(0, 5, 1800)
    x = centres[labels] + 2 * rng.normal(size=(1800, 16))
    train, test = (x[:600], 10 * labels[:600] + 3), (x[600:], 10 * labels[600:] + 3)
    result = knn(train, test, k)
    expected = brute_force(train, test, k, 0.07)
    assert np.mean(result.predictions == expected) > 0.998  # ties in float32
    assert result.accuracy == np.mean(result.predictions == test[1])
    # The scale of features does not matter, that of votes does.
    scaled = knn((7 * train[0], train[1]), test, k)
    np.testing.assert_array_equal(scaled.predictions, result.predictions)
    expected = brute_force(train, test, k, 1.0)
    assert np.mean(knn(train, test, k, 1.0).predictions == expected) > 0.998


def test_nearest_are_in_order():
    rng = np.random.default_rng(0)
    x, queries = rng.normal(size=(50, 8)), rng.normal(size=(2300, 8))
    rows, cosines = nearest(x, queries, 7)
    assert rows.shape == (2300, 7) and (np.diff(cosines, axis=1) <= 0).all()
    itself, cosines = nearest(x, x, 1)
    np.testing.assert_array_equal(itself[:, 0], np.arange(50))
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 7, 53, 211])
def test_nearest_are_the_largest_of_all(count):
    rng = np.random.default_rng(count)
    x, queries = rng.normal(size=(count, 8)), rng.normal(size=(30, 8))
    every, cosines = nearest(x, queries, count)
    for k in sorted({1, min(3, count), (count + 1) // 2, max(1, count - 1)}):
        rows, near = nearest(x, queries, k)
        np.testing.assert_array_equal(rows, every[:, :k])
        np.testing.assert_array_equal(near, cosines[:, :k])


def test_separated_clusters_and_zero_features():
    x = np.repeat(np.eye(3), 10, axis=0)
    y = np.repeat(np.arange(3), 10)
    assert knn((x, y), (x + 0.1, y), k=10).accuracy == 1.0
    assert 0 <= knn((0 * x, y), (x, y), k=5).accuracy <= 1


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(k=0), "k=0"),
        (dict(k=31), "from 1 to 30.*k=31"),
        (dict(temperature=0), "temperature=0"),
        (dict(test=(np.full((2, 4), np.inf), np.zeros(2, int))), "8 values"),
        (dict(test=(np.ones((2, 5)), np.zeros(2, int))), "same features"),
        (dict(test=(np.ones((2, 4)), np.array([0, 9]))), r"labels \[9\] in test only"),
    ],
)
def test_refuses(change, message):
    rng = np.random.default_rng(0)
    train = rng.normal(size=(30, 4)), np.arange(30) % 3
    with pytest.raises(ValueError, match=message):
        knn(**{"train": train, "test": train, **change})
