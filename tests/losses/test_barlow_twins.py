import itertools

import keras
import numpy as np
import pytest
from keras import ops

import helpers
from keras_mvssl.losses import BarlowTwins
from losses import reference

OPTIONS = [
    dict(pairing=p, standardization=s, l2_normalize=n)
    for p, s, n in itertools.product(("mean", "all"), ("joint", "per_view"), (0, 1))
]


def projections(batch, views, dim, seed=0):
    """Views that agree in part, features of several scales and offsets."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(batch, 1, dim)) @ rng.normal(size=(dim, dim))
    z = shared + rng.normal(size=(batch, views, dim))
    return (z * rng.uniform(0.5, 3, dim) + rng.normal(size=dim)).astype("float32")


def total(loss, x):
    return loss(x, x)  # Keras wants targets; they are ignored.


def value(loss, z):
    return float(total(loss, ops.convert_to_tensor(z)))


@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: "-".join(map(str, o.values()))
)
@pytest.mark.parametrize("views", [2, 3, 4, 8])
@pytest.mark.parametrize("batch, dim", [(7, 2), (4, 6)], ids=["D<B", "D>B"])
def test_value_and_gradient_equal_the_reference(options, views, batch, dim):
    z = projections(batch, views, dim)
    loss = BarlowTwins(beta=0.3, **options)
    got, gradient = helpers.value_and_gradient(lambda x: total(loss, x), z)
    z = z.astype("float64")

    def expected(x):
        return reference.loss(x, 0.3, **options)

    assert got == pytest.approx(expected(z), rel=1e-5)
    expected_gradient = helpers.numerical_gradient(expected, z)
    error = np.abs(gradient - expected_gradient).max()
    assert error < 1e-4 * np.abs(expected_gradient).max()


@pytest.mark.parametrize("pairing", ["mean", "all"])
def test_is_barlow_twins_at_two_views(pairing):
    z = projections(16, 2, 5)
    loss = BarlowTwins(beta=0.1, pairing=pairing, standardization="per_view")
    expected = reference.original_barlow_twins(z[:, 0], z[:, 1], 0.1)
    assert value(loss, z) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch", [20, 60, 200])
def test_feature_and_sample_space_agree(batch):
    # D = 24, V = 4: sample space at 20, feature space at 60 and 200.
    z = projections(batch, 4, 24)
    for pairing in ("mean", "all"):
        expected = reference.terms(z, pairing)
        terms = BarlowTwins(pairing=pairing).terms(z)
        assert float(terms["invariance"]) == pytest.approx(expected[0], rel=1e-5)
        assert float(terms["redundancy"]) == pytest.approx(expected[1], rel=1e-5)


@pytest.mark.parametrize("pairing", ["mean", "all"])
def test_unknown_batch_size_gives_the_same_value(pairing):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Only TensorFlow traces unknown batch sizes.")
    import tensorflow as tf

    z = projections(40, 4, 6)
    loss = BarlowTwins(pairing=pairing)
    traced = tf.function(
        lambda x: total(loss, x), input_signature=[tf.TensorSpec((None, 4, 6))]
    )
    assert float(traced(z)) == pytest.approx(value(loss, z), rel=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 2 images"):
        traced(z[:1])


@pytest.mark.parametrize("pairing", ["mean", "all"])
def test_order_of_views_and_samples_does_not_matter(pairing):
    z = projections(12, 5, 4)
    loss = BarlowTwins(pairing=pairing)
    rng = np.random.default_rng(1)
    shuffled = z[rng.permutation(12)][:, rng.permutation(5)]
    assert value(loss, shuffled) == pytest.approx(value(loss, z), rel=1e-5)


@pytest.mark.parametrize("pairing", ["mean", "all"])
@pytest.mark.parametrize("views", [2, 4])
def test_identical_views_have_no_invariance_term(pairing, views):
    z = np.repeat(projections(64, 1, 8) * 3, views, axis=1)
    assert float(BarlowTwins(pairing=pairing).terms(z)["invariance"]) < 1e-6


@pytest.mark.parametrize("pairing", ["mean", "all"])
@pytest.mark.parametrize("views", [2, 4])
@pytest.mark.parametrize("beta", ["auto", 0.0004, 0.01, 0.02])
def test_collapse_scores_worse_than_spread(pairing, views, beta):
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(256, 1, 8)) + 0.3 * rng.normal(size=(256, views, 8))
    duplicated = np.repeat(spread[..., :1], 8, axis=-1)
    constant = np.ones_like(spread)
    loss = BarlowTwins(beta=beta, pairing=pairing)
    best = value(loss, spread.astype("float32"))
    assert value(loss, duplicated.astype("float32")) > best
    assert value(loss, constant.astype("float32")) > best


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_is_finite_for_difficult_inputs(dtype):
    z = projections(16, 3, 6) * 3000
    z[..., 0] = 7.0  # constant
    z[..., 1] *= 1e-12  # nearly dead

    def loss(x):
        return total(BarlowTwins(), ops.cast(x, dtype))

    result, gradient = helpers.value_and_gradient(loss, z)
    assert np.isfinite(result) and np.isfinite(gradient).all()


def test_terms_and_logs():
    z = projections(16, 3, 6)
    loss = BarlowTwins(beta=0.5)
    terms = {name: float(term) for name, term in loss.terms(z).items()}
    assert value(loss, z) == pytest.approx(
        terms["invariance"] + 0.5 * terms["redundancy"], rel=1e-6
    )
    assert loss.per_feature(terms, 6) == {
        "invariance": terms["invariance"] / 6,
        "redundancy": terms["redundancy"] / 30,
    }


def test_beta():
    assert BarlowTwins().resolve_beta(256) == 4 / 256
    assert BarlowTwins(beta=0).resolve_beta(256) == 0.0


def test_config_round_trip():
    loss = BarlowTwins(0.1, "all", "per_view", True)
    config = keras.saving.serialize_keras_object(loss)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == loss.get_config()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(beta=-1), "beta=-1"),
        (dict(beta=float("nan")), "beta=nan"),
        (dict(beta="large"), "beta='large'"),
        (dict(pairing="some"), "'mean' or 'all'. Received: pairing='some'"),
        (dict(standardization="none"), "standardization='none'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BarlowTwins(**arguments)


@pytest.mark.parametrize(
    "shape, message",
    [((4, 6), "B, V, D"), ((4, 1, 6), "at least 2"), ((1, 4, 6), "at least 2 images")],
)
def test_bad_projections(shape, message):
    with pytest.raises(ValueError, match=message):
        BarlowTwins().terms(np.zeros(shape, "float32"))
