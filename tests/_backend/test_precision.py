import keras
import numpy as np
import pytest
from keras import ops

from keras_mvssl import _backend
from keras_mvssl._backend import precision


def test_matmul():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 5, 64)), rng.normal(size=(3, 64, 7))
    got = _backend.matmul(*(ops.convert_to_tensor(x, "float32") for x in (a, b)))
    np.testing.assert_allclose(ops.convert_to_numpy(got), a @ b, atol=1e-5)


def test_matmul_stays_exact_where_the_backend_may_round(monkeypatch):
    monkeypatch.setattr(precision, "_may_round", lambda: True)
    test_matmul()


def test_full_precision_is_asked_for():
    """No CPU rounds, so that only accelerators would show another product."""
    if keras.backend.backend() == "jax":
        import jax

        x = np.ones((2, 2), "float32")
        assert "HIGHEST" in str(jax.make_jaxpr(_backend.matmul)(x, x))
    elif keras.backend.backend() == "torch":
        import torch

        before = torch.get_float32_matmul_precision()
        try:
            for setting, rounds in (("highest", 0), ("high", 1), ("medium", 1)):
                torch.set_float32_matmul_precision(setting)
                assert precision._may_round() == bool(rounds)
        finally:
            torch.set_float32_matmul_precision(before)
    else:
        pytest.skip("TensorFlow's setting counts on GPUs alone.")
