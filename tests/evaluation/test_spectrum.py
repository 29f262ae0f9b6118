import dataclasses
import json

import ml_dtypes
import numpy as np
import pytest

from keras_mvssl import evaluation


def planted(rows, eigenvalues, seed=0):
    """Features whose sample covariance has exactly these eigenvalues."""
    rng = np.random.default_rng(seed)
    count = len(eigenvalues)
    left = rng.normal(size=(rows, count))
    left, _ = np.linalg.qr(left - left.mean(axis=0))
    right, _ = np.linalg.qr(rng.normal(size=(count, count)))
    return 3.0 + (left * np.sqrt(rows * np.asarray(eigenvalues))) @ right.T


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("rows", [150, 900])
def test_alpha_of_a_planted_power_law(alpha, rows):
    # 300 features, of which as many directions vary as 150 rows allow.
    count = min(rows - 1, 300)
    eigenvalues = np.arange(1, count + 1.0) ** -alpha
    features = planted(rows, eigenvalues)
    features = np.hstack([features, np.zeros((rows, 300 - count))])
    found = evaluation.alpha_req(features)
    assert found.alpha == pytest.approx(alpha, abs=1e-3)
    assert found.r_squared == pytest.approx(1, abs=1e-6)
    assert found.ranks == (4, 100) and found.intercept == pytest.approx(0, abs=1e-6)
    # A line fitted to other ranks of a bent spectrum is another line.
    eigenvalues[50:] /= 100
    bent = evaluation.alpha_req(planted(rows, eigenvalues))
    assert bent.alpha > alpha + 0.1 and bent.r_squared < 0.99
    head = evaluation.alpha_req(planted(rows, eigenvalues), ranks=(4, 50))
    assert head.alpha == pytest.approx(alpha, abs=1e-3)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_alpha_of_a_population(alpha):
    dim = 150
    scale = np.arange(1, dim + 1.0) ** (-alpha / 2)
    x = np.random.default_rng(0).normal(size=(100 * dim, dim)) * scale
    assert evaluation.alpha_req(x).alpha == pytest.approx(alpha, abs=0.02)


@pytest.mark.parametrize(
    "alpha,dim,rows,mean",
    [
        (1.0, 200, 100, 1.17),
        (1.0, 200, 200, 1.03),
        (1.0, 200, 2000, 1.00),
        (1.0, 512, 256, 0.93),
        (1.0, 512, 512, 0.96),
        (1.0, 512, 5120, 0.99),
        (0.5, 200, 100, 0.78),
        (0.5, 200, 200, 0.59),
        (0.5, 200, 2000, 0.49),
    ],
)
def test_bias_of_alpha_with_few_samples_is_what_the_docstring_says(
    alpha, dim, rows, mean
):
    scale = np.arange(1, dim + 1.0) ** (-alpha / 2)
    draws = [np.random.default_rng(i).normal(size=(rows, dim)) for i in range(5)]
    found = [evaluation.alpha_req(x * scale).alpha for x in draws]
    assert np.mean(found) == pytest.approx(mean, abs=0.01)
    assert f"{mean:.2f}" in evaluation.alpha_req.__doc__


def test_eigenvalues_are_those_of_the_covariance():
    x = np.random.default_rng(0).normal(size=(50, 20)) @ np.diag(np.arange(1.0, 21))
    expected = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    np.testing.assert_allclose(evaluation.covariance_eigenvalues(x), expected)
    wide = evaluation.covariance_eigenvalues(x.T)  # 20 rows of 50
    assert np.count_nonzero(wide) == 19
    expected = np.linalg.eigvalsh(np.cov(x, bias=True))[::-1]
    np.testing.assert_allclose(wide[:19], expected[:19])


@pytest.mark.parametrize("shape", [(400, 64), (40, 64)])
def test_ranks_of_equal_singular_values(shape):
    rng = np.random.default_rng(0)
    u, _ = np.linalg.qr(rng.normal(size=(shape[0], 8)))
    v, _ = np.linalg.qr(rng.normal(size=(shape[1], 8)))
    assert evaluation.rankme(u @ v.T) == pytest.approx(8, rel=1e-3)
    x = planted(shape[0], np.ones(8))
    assert evaluation.effective_rank(x) == pytest.approx(8, rel=1e-3)
    assert evaluation.participation_ratio(x) == pytest.approx(8, rel=1e-3)


def test_ranks_tell_shares_of_variance_from_singular_values():
    # Of two directions, one has a ninth of the variance: singular values 3 to 1.
    x = planted(100, [9.0, 1.0])
    x = x - x.mean(axis=0)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert evaluation.rankme(x) == pytest.approx(np.exp(entropy))
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert evaluation.effective_rank(x) == pytest.approx(np.exp(entropy))
    assert evaluation.participation_ratio(x) == pytest.approx(100 / 82)


def test_all_at_once():
    x = planted(300, np.arange(1, 121.0) ** -1.5).astype("float32")
    found = evaluation.spectrum(x)
    assert found.power_law == evaluation.alpha_req(x)
    assert found.rankme == evaluation.rankme(x)
    assert found.effective_rank == evaluation.effective_rank(x)
    assert found.participation_ratio == evaluation.participation_ratio(x)
    np.testing.assert_allclose(found.std, x.std(axis=0), rtol=1e-4)
    views = x.reshape(100, 3, 120)
    assert evaluation.spectrum(views).rankme == pytest.approx(found.rankme)


def test_constant_and_few_features():
    found = evaluation.spectrum(np.ones((10, 5)))
    assert found.power_law is None and found.effective_rank == 0
    assert found.participation_ratio == 0 and found.rankme == pytest.approx(1)
    with pytest.raises(ValueError, match="three positive eigenvalues.*0 positive"):
        evaluation.alpha_req(np.ones((10, 50)))


@pytest.mark.parametrize(
    "features, ranks, message",
    [
        (np.ones(5), (4, 100), r"\(N, F\).*\(5,\)"),
        (np.ones((1, 5)), (4, 100), "two rows"),
        (np.full((9, 5), np.nan), (4, 100), "Received: 45 values"),
        (np.ones((9, 5)), (9, 4), r"ranks=\(9, 4\)"),
        (np.ones((9, 5)), (0, 4), r"ranks=\(0, 4\)"),
    ],
)
def test_refuses(features, ranks, message):
    with pytest.raises(ValueError, match=message):
        evaluation.alpha_req(features, ranks)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_collapsed_features_of_any_float_type(dtype):
    dtype = getattr(ml_dtypes, dtype, dtype)
    rng = np.random.default_rng(0)
    constant = np.full((90, 5), 0.1).astype(dtype)
    found = evaluation.spectrum(constant)
    assert (found.effective_rank, found.participation_ratio) == (0.0, 0.0)
    assert found.power_law is None and found.rankme == pytest.approx(1.0)
    with pytest.raises(ValueError, match="three positive eigenvalues.*Received"):
        evaluation.alpha_req(constant)
    line = (rng.normal(size=(90, 1)) * np.ones((1, 5))).astype(dtype)
    for scale in (1e-30, 1.0, 1e18):
        scaled = line.astype("float64") * scale
        assert evaluation.effective_rank(scaled) == pytest.approx(1.0)
    assert evaluation.effective_rank(line) == pytest.approx(1.0)


def test_ranks_from_numpy_are_written_as_json():
    features = np.random.default_rng(0).normal(size=(90, 9))
    law = evaluation.alpha_req(features, (np.int64(1), np.int32(8)))
    assert json.loads(json.dumps(dataclasses.asdict(law)))["ranks"] == [1, 8]
