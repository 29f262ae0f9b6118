"""Terms, logs, β, configuration and errors."""

import json

import keras
import numpy as np
import pytest
from keras import ops

import helpers
from keras_mvssl.losses import BarlowTwins
from keras_mvssl.losses import ReformulatedSSL
from keras_mvssl.losses import VICReg
from losses.cases import CASES
from losses.cases import projections
from losses.cases import total
from losses.cases import value

every_case = pytest.mark.parametrize("case", CASES)


@every_case
@pytest.mark.parametrize("batch, dim", [(40, 6), (5, 30)], ids=["D<B", "D>B"])
def test_unknown_batch_size_gives_the_same_value(case, batch, dim):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Only TensorFlow traces unknown batch sizes.")
    import tensorflow as tf

    z = projections(batch, 4, dim)
    loss, _ = CASES[case]

    def value_and_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = total(loss, x)
        return result, tape.gradient(result, x)

    traced = tf.function(
        value_and_gradient, input_signature=[tf.TensorSpec((None, 4, dim))]
    )
    for got, expected in zip(traced(z), value_and_gradient(tf.constant(z))):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * scale)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 2 images"):
        traced(z[:1])


@pytest.mark.parametrize(
    "loss, weights, counts",
    [
        (BarlowTwins(0.5), dict(invariance=1, redundancy=0.5), (6, 30)),
        (
            ReformulatedSSL(0.5),
            dict(invariance=1, variance=1, redundancy=0.5),
            (6, 6, 30),
        ),
        (
            VICReg(2.0, 3.0, 4.0),
            dict(invariance=2, variance=3, redundancy=4),
            (1, 1, 5),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_terms_and_logs(loss, weights, counts):
    z = projections(16, 3, 6)
    terms = {name: float(term) for name, term in loss.terms(z).items()}
    assert tuple(terms) == loss.term_names == tuple(weights)
    weighted = sum(weights[name] * terms[name] for name in terms)
    assert value(loss, z) == pytest.approx(weighted, rel=1e-6)
    expected = {name: terms[name] / count for name, count in zip(terms, counts)}
    assert loss.per_feature(terms, 6) == pytest.approx(expected)


@every_case
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_terms_are_float32_of_any_projections(case, dtype):
    loss, z = CASES[case][0], ops.cast(projections(16, 3, 6), dtype)
    expected = loss.terms(ops.cast(z, "float32"))
    for name, term in loss.terms(z).items():
        assert keras.backend.standardize_dtype(term.dtype) == "float32"
        assert float(term) == float(expected[name])


def test_one_feature_has_no_redundancy():
    for loss, _ in CASES.values():
        terms = loss.per_feature(loss.terms(30 * projections(8, 3, 1)), 1)
        assert float(terms["redundancy"]) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("constant", [10.1, 1000.1, 12345.678])
@pytest.mark.parametrize("standardization", ["joint", "per_view"])
def test_constant_features_do_not_agree(constant, standardization):
    z = np.full((1024, 8, 16), constant, "float32")
    terms = BarlowTwins(standardization=standardization).terms(z)
    assert float(terms["invariance"]) == pytest.approx(16, rel=1e-3)
    assert float(terms["redundancy"]) < 1e-3


def test_other_float_types_of_keras():
    before = keras.config.floatx()
    z = projections(8, 9, 4)
    expected = {name: value(loss, z) for name, (loss, _) in CASES.items()}
    keras.config.set_floatx("float64")
    try:
        for name, (loss, _) in CASES.items():
            assert value(loss, z) == pytest.approx(expected[name], rel=1e-5)
    finally:
        keras.config.set_floatx(before)


@every_case
def test_lists_and_no_targets(case):
    loss, z = CASES[case][0], projections(4, 3, 2)
    assert float(loss(None, z.tolist())) == pytest.approx(value(loss, z), rel=1e-5)
    with pytest.raises(ValueError, match="sample_weight"):
        loss(None, z, np.ones(4))


@pytest.mark.parametrize("loss", [BarlowTwins, ReformulatedSSL])
def test_beta(loss):
    assert loss().resolve_beta(256) == 4 / 256
    assert loss(beta=0).resolve_beta(256) == 0.0
    with pytest.raises(ValueError, match="dim=0"):
        loss().resolve_beta(0)


@pytest.mark.parametrize(
    "loss",
    [
        BarlowTwins(0.1, "all", "per_view", True),
        ReformulatedSSL(0.1),
        VICReg(1.0, 2.0, 3.0),
    ],
    ids=lambda loss: loss.name,
)
def test_config_round_trip(loss):
    config = keras.saving.serialize_keras_object(loss)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == loss.get_config()


@pytest.mark.parametrize(
    "make, arguments, message",
    [
        (BarlowTwins, dict(beta=-1), "beta=-1"),
        (BarlowTwins, dict(beta="large"), "or 'auto'. Received: beta='large'"),
        (
            BarlowTwins,
            dict(pairing="some"),
            "'mean' or 'all'. Received: pairing='some'",
        ),
        (BarlowTwins, dict(standardization="none"), "standardization='none'"),
        (ReformulatedSSL, dict(beta=float("nan")), "beta=nan"),
        (VICReg, dict(invariance=-1.0), "invariance=-1.0"),
        (VICReg, dict(variance=float("inf")), "variance=inf"),
        (VICReg, dict(covariance="auto"), "at least 0. Received: covariance='auto'"),
    ],
)
def test_bad_arguments(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize("loss", [BarlowTwins, ReformulatedSSL, VICReg])
@pytest.mark.parametrize(
    "shape, message",
    [
        ((4, 6), "B, V, D"),
        ((4, 2, 0), "at least 1"),
        ((4, 1, 6), "at least 2"),
        ((1, 4, 6), "at least 2 images"),
    ],
)
def test_bad_projections(loss, shape, message):
    with pytest.raises(ValueError, match=message):
        loss().terms(np.zeros(shape, "float32"))


@every_case
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_losses_do_not_depend_on_floatx(case, dtype):
    def make():
        loss = CASES[case][0]
        loss = type(loss).from_config(loss.get_config())
        made = [loss(None, projections(16, 3, 6)), loss(None, projections(4, 3, 6))]
        made += loss.terms(projections(16, 3, 6)).values()
        assert {keras.backend.standardize_dtype(x.dtype) for x in made} == {"float32"}
        return list(map(float, made))

    expected = make()
    with helpers.keras_set_to(floatx=dtype):
        np.testing.assert_allclose(make(), expected, rtol=1e-5)


def test_numbers_and_dtypes_of_losses():
    number = np.float32(0.25)
    for loss in (
        BarlowTwins(number, l2_normalize=np.bool_(True)),
        VICReg(number, np.int64(2), number),
        ReformulatedSSL(number),
    ):
        json.dumps(loss.get_config())
    for dtype in ("float16", "mixed_bfloat16", "float64"):
        with pytest.raises(
            ValueError, match=f"`dtype` must be.*Received: dtype='{dtype}"
        ):
            VICReg(dtype=dtype)
    for dtype in (None, "float32", keras.DTypePolicy("float32")):
        assert BarlowTwins(dtype=dtype).dtype == "float32"
