from unittest import mock

import keras
import ml_dtypes
import numpy as np
import pytest
from sklearn import linear_model

from keras_mvssl import evaluation
from keras_mvssl import views
from keras_mvssl.evaluation import extract_features
from keras_mvssl.evaluation import knn
from keras_mvssl.evaluation import linear_probe
from keras_mvssl.evaluation import logistic
from keras_mvssl.evaluation import paper_probe
from keras_mvssl.evaluation import ridge
from keras_mvssl.evaluation import sixteen_views
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


@pytest.mark.parametrize("protocol", ["logistic", "ridge"])
def test_is_deterministic_and_blind_to_scale(protocol):
    train, test = clusters(), clusters(seed=1)
    first, again = (linear_probe(train, test, protocol) for _ in range(2))
    np.testing.assert_array_equal(first.predictions, again.predictions)
    scale = 10.0 ** np.arange(-5, 5)
    scaled = [(x * scale, y) for x, y in (train, test)]
    scaled = linear_probe(*scaled, protocol)
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


def ridge_reference(x, y, classes, l2):
    """Of examples with a column of ones, which is not penalised."""
    x = np.hstack([x, np.ones((len(x), 1))])
    penalty = l2 * len(x) * np.eye(x.shape[1])
    penalty[-1, -1] = 0
    return np.linalg.solve(x.T @ x + penalty, x.T @ np.eye(classes)[y])


@pytest.mark.parametrize("count", [300, 8], ids=["features", "examples"])
def test_ridge_solves_the_normal_equations(count):
    x, y = clusters(count)
    strengths = [1.0, 1e-2]
    for l2, weights in zip(strengths, ridge.fit_path(x, y, 4, strengths)):
        np.testing.assert_allclose(weights, ridge_reference(x, y, 4, l2), atol=1e-5)


def svd_solution(x, y, classes, l2):
    """The same in float64 without squares of features; with l2=0, the smallest."""
    x = x.astype("float64")
    mean, target = x.mean(axis=0), np.eye(classes)[y]
    left, s, right = np.linalg.svd(x - mean, full_matrices=False)
    along = left.T @ (target - target.mean(axis=0))
    factors = np.where(s > 1e-6 * s[0], s / (s**2 + len(x) * l2 + 1e-30), 0)
    weights = right.T @ (factors[:, None] * along)
    return np.vstack([weights, target.mean(axis=0) - mean @ weights])


@pytest.mark.parametrize("l2", [1.0, 1e-3, 1e-6, 1e-9, 0])
@pytest.mark.parametrize("count", [30, 300], ids=["few", "many"])
@pytest.mark.parametrize("kind", ["repeated", "mixed", "constant", "plain", "one"])
def test_ridge_is_the_exact_minimum(kind, count, l2):
    x, y = clusters(count, 40 if kind == "plain" else 6)
    x = x.astype("float32")
    if kind == "repeated":
        x = np.repeat(x, 40, axis=1)
    elif kind == "mixed":  # without a strength, roundings would be directions too
        x = x @ np.random.default_rng(1).normal(size=(6, 240)).astype("float32")
        l2 = max(l2, 1e-8)
    elif kind == "constant":
        x = np.hstack([x, np.ones((count, 300), "float32")])
    elif kind == "one":
        x, y = x[:4], np.arange(4)  # an example of each class
    (weights,) = ridge.fit_path(x, y, 4, [l2])
    expected = svd_solution(x, y, 4, l2)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(weights, expected, atol=1e-6 * scale, rtol=1e-5)


@pytest.mark.parametrize("protocol", ["logistic", "ridge"])
def test_repeated_features_change_no_decision(protocol):
    """A penalty that is as strong for all of them together as for one."""
    train, test = clusters(150, 6, noise=2), clusters(600, 6, noise=2, seed=1)
    many = [(np.repeat(x, 200, axis=1), y) for x, y in (train, test)]
    for l2 in (1e-1, 1e-5, 1e-8, 0):
        expected = linear_probe(train, test, protocol, l2=l2).predictions
        found = linear_probe(*many, protocol, l2=200 * l2).predictions
        assert np.mean(found == expected) > 0.98, l2


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_features_of_any_float_type(dtype):
    dtype = getattr(ml_dtypes, dtype, dtype)
    train, test = ((x.astype(dtype), y) for x, y in (clusters(), clusters(seed=1)))
    wide = [(x.astype("float32"), y) for x, y in (train, test)]
    for probe in (linear_probe, knn):
        expected = probe(*wide).accuracy
        assert probe(train, test).accuracy == pytest.approx(expected, abs=1e-6)
    for scale in (1e-30, 1e6, 1e18):
        scaled = [(x * np.float32(scale), y) for x, y in wide]
        assert knn(*scaled).accuracy == pytest.approx(knn(*wide).accuracy, abs=0.01)
        for protocol in ("logistic", "ridge"):
            one, other = (linear_probe(*x, protocol).accuracy for x in (scaled, wide))
            assert one == pytest.approx(other, abs=0.01)


@pytest.mark.parametrize("protocol", ["logistic", "ridge", "paper"])
def test_protocols_agree_with_each_other_and_with_scikit_learn(protocol):
    train, test = clusters(2000, 30, 10, 1.7), clusters(4000, 30, 10, 1.7, seed=1)
    grid = [
        linear_model.LogisticRegression(C=c, max_iter=1000).fit(*train).score(*test)
        for c in (1e-3, 1e-2, 1e-1, 1.0)
    ]
    accuracy = linear_probe(train, test, protocol).accuracy
    assert accuracy == pytest.approx(max(grid), abs=0.015 + (protocol == "ridge") / 50)


def test_paper_protocol_takes_the_steps_of_adam():
    x, y = clusters(512)
    x = x.astype("float32")
    with mock.patch.object(paper_probe, "EPOCHS", 3):
        weights = paper_probe.fit(x, y, 4)
    layer = keras.layers.Dense(4)
    layer.build((None, 10))
    bound = 1 / np.sqrt(10)
    start = np.random.default_rng(0).uniform(-bound, bound, (11, 4))
    layer.set_weights([start[:-1], start[-1]])
    model = keras.Sequential([keras.Input((10,)), layer])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8), loss)
    model.fit(x, np.eye(4)[y], batch_size=512, epochs=3, verbose=0)
    np.testing.assert_allclose(weights[:-1], layer.get_weights()[0], atol=1e-5)


@pytest.mark.parametrize("l2", [1e-3, 1e-5])
def test_weak_penalties_are_solved_to_convergence(l2):
    # Separable: the minimum is far, and the gradient small on the way to it.
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 400)
    x = rng.normal(size=(400, 200)) + 0.4 * rng.normal(size=(5, 200))[y]
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32")
    (weights,) = logistic.fit_path(x, y, 5, [l2])
    model = linear_model.LogisticRegression(C=1 / (l2 * 400), tol=1e-9, max_iter=9999)
    model.fit(x.astype("float64"), y)
    expected = np.vstack([model.coef_.T, model.intercept_])

    def objective(weights):
        scores = x.astype("float64") @ weights[:-1] + weights[-1]
        scores -= scores.max(axis=1, keepdims=True)
        loss = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(400), y]
        return loss.mean() + l2 / 2 * np.sum(weights[:-1] ** 2)

    assert objective(weights.astype("float64")) < 1.001 * objective(expected)


@pytest.mark.parametrize("scale", [1e-30, 1e20, 1e30])
def test_any_scale(scale):
    train, test = clusters(noise=0.1), clusters(noise=0.1, seed=1)
    scaled = [((x * scale).astype("float32"), y) for x, y in (train, test)]
    assert linear_probe(*scaled).accuracy == 1.0
    assert knn(*scaled).accuracy == 1.0


def test_few_labels():
    train, test = clusters(5000, noise=1.5), clusters(2000, noise=1.5, seed=1)
    accuracies = [
        linear_probe(train, test, fraction=fraction).accuracy
        for fraction in (0.0001, 0.01, 1.0)
    ]
    assert accuracies[0] < accuracies[1] < accuracies[2]
    # The least is one of each class.
    alone = linear_probe(train, test, fraction=1e-9)
    assert set(np.unique(alone.predictions)) == set(range(4))


@pytest.mark.parametrize("protocol", ["logistic", "ridge", "paper"])
@pytest.mark.parametrize("classes", [2, 100])
def test_repeated_constant_and_correlated_features(protocol, classes):
    (x, y), (x_test, y_test) = (
        clusters(2000, 20, classes, 0.3, seed) for seed in (0, 1)
    )
    rng = np.random.default_rng(5)
    mix = rng.normal(size=(20, 20)) @ np.diag(10.0 ** -np.arange(0, 4, 0.2))

    def spoil(x):
        return np.hstack([x, x, np.full((len(x), 3), 5.0), x @ mix])

    with mock.patch.object(paper_probe, "EPOCHS", 30):
        result = linear_probe((spoil(x), y), (spoil(x_test), y_test), protocol)
    assert result.accuracy > 0.9


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(protocol="svm"), "protocol='svm'"),
        (dict(l2=-1.0), "l2=-1.0"),
        (dict(l2=0.1, protocol="paper"), "l2=0.1, protocol='paper'"),
        (dict(fraction=0), "fraction=0"),
        (dict(fraction=2), "fraction=2"),
        (dict(seed=-1), "seed=-1"),
        (dict(l2=np.ones(2)), "`l2` must be"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        linear_probe(clusters(), clusters(), **settings)


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
        (lambda x, y: (x, y.astype(str)), "whole numbers. To turn names"),
        (lambda x, y: (np.ma.array(x, mask=x > 1), y), "must have no masked values"),
        (lambda x, y: (x * 1j, y), "Received: .*complex"),
        (lambda x, y: (x.astype(str), y), "Received: .*U"),
        (lambda x, y: ("my_images", y), "must hold arrays.*with str"),
        (lambda x, y: ((x, y), y), "must hold arrays.*with tuple"),
    ],
)
def test_bad_data(change, message):
    train = clusters()
    with pytest.raises(ValueError, match=message):
        linear_probe(change(*train), train)


def test_images_that_do_not_fit_are_refused(model, labelled):
    images, labels = labelled
    for wrong in (images[..., :1], images[:, :8], images[..., 0]):
        with pytest.raises(ValueError, match="do not fit the encoder|one label for"):
            extract_features(model.encoder, (wrong, labels))
    with pytest.raises(ValueError, match="all 0 or 1.*Received: maximum=1"):
        extract_features(model.encoder, (images // 255 + images % 2, labels))


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


def test_features_averaged_over_views(model, labelled):
    layer = views.RandomViews(views.Augmentation(size=12), 3, seed=4)
    got, labels = extract_features(model.encoder, labelled, 16, views=layer)
    again, _ = extract_features(model.encoder, labelled, 16, views=layer)
    np.testing.assert_array_equal(got, again)
    np.testing.assert_array_equal(labels, labelled[1])
    made = np.asarray(layer(labelled[0][:16], step=2**30 + 1))
    flat = model.encoder.predict(made.reshape(-1, 12, 12, 3), verbose=0)
    expected = flat.reshape(16, 3, -1).mean(axis=1)
    np.testing.assert_allclose(got[:16], expected, atol=1e-4)
    assert int(layer.step) == 0


def test_probe_on_16_views(model, labelled, monkeypatch):
    """One clean view and 15 others, averaged in NumPy."""
    augmentation = views.Augmentation(size=12)
    probed = []

    def spy(train, test, protocol, seed):
        probed.append((train, test, protocol, seed))
        return linear_probe(train, test, protocol, seed=seed)

    monkeypatch.setattr(sixteen_views, "linear_probe", spy)
    train, test = labelled, (labelled[0][:8], labelled[1][:8])
    found = evaluation.probe_16_views(
        model.encoder, train, test, augmentation, batch_size=4, seed=3
    )
    ((*parts, protocol, seed),) = probed
    assert (protocol, seed) == ("paper", 3)
    layer = views.RandomViews(augmentation, 15)
    for (features, labels), (images, expected_labels) in zip(
        parts, (train, test), strict=True
    ):
        np.testing.assert_array_equal(labels, expected_labels)
        for batch in (0, 1):  # Batches have views of their own.
            rows = slice(4 * batch, 4 * batch + 4)
            made = np.asarray(layer(images[rows], step=2**30 + 1 + batch))
            clean = images[rows, None].astype("float32")
            sixteen = np.concatenate([clean, made], axis=1)
            assert sixteen.shape == (4, 16, 12, 12, 3)
            flat = model.encoder.predict(sixteen.reshape(-1, 12, 12, 3), verbose=0)
            expected = flat.reshape(4, 16, -1).astype("float64").mean(axis=1)
            np.testing.assert_allclose(features[rows], expected, atol=1e-4)
    assert found.accuracy == linear_probe(*parts, "paper", seed=3).accuracy
