"""Diagnostics of the features of a finished run, which its report draws."""

import numpy as np

from keras_mvssl import evaluation
from keras_mvssl.evaluation.features import run_in_batches
from keras_mvssl.evaluation.neighbors import nearest

# Number of test images on the map of features.
MAP_IMAGES = 2000
# Numbers of test images that are shown, and of neighbours shown for each.
SHOWN_QUERIES, SHOWN_NEIGHBORS = 6, 8
# Number of images that are taken from a data set that is a stream.
STREAM_IMAGES = 2000
# Number of images that are taken where no image has a label.
UNLABELLED_IMAGES = 10_000


def collect(encoder, train, test):
    """Measure frozen features, and collect the arrays that pictures of them need.

    Args:
        encoder: A `keras.Model` from images to features.
        train: Labelled images, in a form that `evaluation.extract_features` takes. A
            data set must have the same order each time it is read.
        test: Labelled images in the same form.

    Returns:
        A dict of arrays for `numpy.savez`:

        - `eigenvalues` of the covariance of the training features;
        - `map` `(N, 2)`, the first two principal components of some test features,
          `map_share`, their shares of the variance, and `map_labels`;
        - `confusion` `(classes, classes)`, counts of test images by label and by
          prediction of a linear probe, and `classes`, the labels themselves;
        - `queries` `(Q, h, w, C)`, some test images, `neighbors` `(Q, K, h, w, C)`,
          their nearest training images, `query_labels`, `neighbor_labels`, and
          `searched`, the number of training images that were searched;
        - `probe`, `knn_20` and `knn_200`, scalars, accuracies on the test images.
    """
    features = [evaluation.extract_features(encoder, part) for part in (train, test)]
    probe = evaluation.linear_probe(*features)
    found = {
        "eigenvalues": evaluation.covariance_eigenvalues(features[0][0]),
        "probe": probe.accuracy,
        **_map(*features[1]),
        **_confusion(features[1][1], probe.predictions),
        **_neighbors(features, train, test),
    }
    for k in (20, 200):
        if k <= len(features[0][0]):
            found[f"knn_{k}"] = evaluation.knn(*features, k=k).accuracy
    return found


def collect_unlabelled(encoder, images):
    """Measure features of unlabelled images, for the pictures of a report.

    Args:
        encoder: A `keras.Model` from images to features.
        images: `(N, h, w, C)`, or a data set of single images.

    Returns:
        A dict of the arrays `eigenvalues`, `map`, `map_share`, `queries`, `neighbors`
        and `searched`, as `collect` returns them.
    """
    images = _images(images)
    some = np.random.default_rng(0).permutation(len(images))[:UNLABELLED_IMAGES]
    images = images[some]
    features = run_in_batches(encoder, images, 512)
    count = min(SHOWN_QUERIES, len(images))
    rows, _ = nearest(features, features[:count], min(SHOWN_NEIGHBORS + 1, len(images)))
    # The nearest of a query is the query itself, or an image that looks the same.
    others = [[row for row in line if row != i] for i, line in enumerate(rows)]
    others = np.array([line[: rows.shape[1] - 1] for line in others], int)
    return {
        "eigenvalues": evaluation.covariance_eigenvalues(features),
        **_map(features),
        "queries": images[:count],
        "neighbors": images[others],
        "searched": len(images),
    }


def _map(features, labels=None):
    rng = np.random.default_rng(0)
    kept = rng.permutation(len(features))[:MAP_IMAGES]
    x = features[kept].astype("float64")
    x -= x.mean(axis=0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    share = s**2 / max(np.sum(s**2), 1e-30)
    # Two zeros are added for features that have fewer than two directions.
    points = np.hstack([u * s, np.zeros((len(x), 2))])
    found = {"map": points[:, :2], "map_share": np.append(share, [0.0, 0.0])[:2]}
    return found if labels is None else {**found, "map_labels": labels[kept]}


def _confusion(labels, predictions):
    classes, codes = np.unique(np.append(labels, predictions), return_inverse=True)
    actual, predicted = np.split(codes, 2)
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (actual, predicted), 1)
    return {"classes": classes, "confusion": counts}


def _neighbors(features, train, test):
    images, queries = _images(train), _images(test)
    (x, labels), (x_test, test_labels) = features
    # The first image of each class comes first, in the order of the test images.
    _, chosen = np.unique(test_labels[: len(queries)], return_index=True)
    chosen = [*np.sort(chosen), *range(len(queries))]
    chosen = np.array(list(dict.fromkeys(chosen))[:SHOWN_QUERIES])
    rows, _ = nearest(
        x[: len(images)], x_test[chosen], min(SHOWN_NEIGHBORS, len(images), len(x))
    )
    return {
        "searched": min(len(images), len(x)),
        "queries": queries[chosen],
        "query_labels": test_labels[chosen],
        "neighbors": images[rows],
        "neighbor_labels": labels[rows],
    }


def _images(data):
    """Return the images of arrays, with or without labels, or the first of a stream."""
    if hasattr(data, "element_spec"):
        data = list(data.take(STREAM_IMAGES).as_numpy_iterator())
        return np.stack([x[0] if isinstance(x, tuple) else x for x in data])
    return np.asarray(data[0] if isinstance(data, tuple) else data)
