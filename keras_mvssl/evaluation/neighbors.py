"""The k-nearest-neighbour classifier on frozen features."""

import dataclasses
import numbers

import numpy as np

from keras_mvssl.evaluation.labelled import Labelled
from keras_mvssl.evaluation.labelled import as_features

# Number of queries that are compared with the training set at once.
_QUERIES_AT_ONCE = 1000


@dataclasses.dataclass(frozen=True)
class KNNResult:
    """Result of `knn`.

    Attributes:
        accuracy: Share of the test examples classified correctly, in [0, 1].
        predictions: Predicted labels of the test examples, `(N,)`.
    """

    accuracy: float
    predictions: np.ndarray


def knn(
    train: Labelled, test: Labelled, k: int = 20, temperature: float = 0.07
) -> KNNResult:
    """Classify test examples by the votes of the k most similar training examples.

    Similarity is the cosine, and a vote has the weight exp(similarity / temperature).
    Nothing is fitted or tuned, so that the accuracy shows the features as they are.

    Args:
        train: Pair `(features, labels)` of shapes `(N, F)` and `(N,)`, labels being
            ints of at least 0.
        test: Pair like `train`.
        k: int from 1 to the number of training examples. Usual values are 20 and 200.
        temperature: Positive float.

    Returns:
        A `KNNResult`.

    Raises:
        ValueError: For data that `linear_probe` refuses, and for `k` or `temperature`
            out of range.

    Example:
    ```python
    extract = keras_mvssl.evaluation.extract_features
    train, test = extract(encoder, splits.train), extract(encoder, splits.test)
    print(keras_mvssl.evaluation.knn(train, test, k=200).accuracy)
    ```

    Reference: Wu et al., "Unsupervised feature learning via non-parametric instance
    discrimination" (2018), Section 3.4.
    """
    if not isinstance(temperature, numbers.Real) or not 0 < temperature < np.inf:
        raise ValueError(
            "`temperature` must be a positive number. "
            f"Received: temperature={temperature}"
        )
    train, test = as_features(train, test)
    classes, labels = np.unique(train[1], return_inverse=True)
    rows, similarities = nearest(train[0], test[0], k)
    votes = np.exp((similarities - similarities[:, :1]) / temperature)
    scores = np.zeros((len(rows), len(classes)))
    np.add.at(scores, (np.arange(len(rows))[:, None], labels[rows]), votes)
    predictions = classes[scores.argmax(axis=1)]
    return KNNResult(float(np.mean(predictions == test[1])), predictions)


def nearest(features, queries, k):
    """Find the rows of `features` with the largest cosine to each query.

    Args:
        features: `(N, F)`.
        queries: `(M, F)`.
        k: int, 1 to N.

    Returns:
        Indices of rows of `features`, `(M, k)`, most similar first, and the cosines of
        those rows, `(M, k)`.
    """
    if not isinstance(k, numbers.Integral) or not 1 <= k <= len(features):
        raise ValueError(
            f"`k` must be an int from 1 to {len(features)}, the number of examples. "
            f"Received: k={k}"
        )
    features, queries = _unit_rows(features), _unit_rows(queries)
    rows, similarities = [], []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        cosines = queries[start : start + _QUERIES_AT_ONCE] @ features.T
        best = _largest_columns(cosines, k)
        near = np.take_along_axis(cosines, best, axis=1)
        order = np.argsort(-near, axis=1, kind="stable")
        rows.append(np.take_along_axis(best, order, axis=1))
        similarities.append(np.take_along_axis(near, order, axis=1))
    return np.concatenate(rows), np.concatenate(similarities)


def _largest_columns(values, k):
    """Return the columns of the k largest values of each row, `(M, k)`, in any order.

    Columns are split into groups of equal size. The k largest values lie in the k
    groups with the largest maxima, or in the last columns, which belong to no group.
    """
    count = values.shape[1]
    # With this size there are as many groups as columns in k groups.
    size = max(int((count / k) ** 0.5), 1)
    groups = count // size
    if groups <= k:
        return np.argpartition(-values, k - 1, axis=1)[:, :k]
    largest = values[:, : size * groups].reshape(-1, size, groups).max(axis=1)
    best = np.argpartition(-largest, k - 1, axis=1)[:, :k]
    columns = best[:, None] + groups * np.arange(size)[:, None]
    rest = np.arange(size * groups, count)
    columns = np.hstack(
        [columns.reshape(len(best), -1), np.broadcast_to(rest, (len(best), len(rest)))]
    )
    among = np.take_along_axis(values, columns, axis=1)
    kept = np.argpartition(-among, k - 1, axis=1)[:, :k]
    return np.take_along_axis(columns, kept, axis=1)


def _unit_rows(x):
    x = np.asarray(x, "float32")
    # Rows are scaled to at most 1 first, so that squares neither overflow nor vanish.
    x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-37)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
