import keras
import numpy as np
import pytest
from keras import ops

from keras_mvssl import distribution


def test_matmul():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 5, 64)), rng.normal(size=(3, 64, 7))
    got = distribution.matmul(*(ops.convert_to_tensor(x, "float32") for x in (a, b)))
    np.testing.assert_allclose(ops.convert_to_numpy(got), a @ b, atol=1e-5)


def test_matmul_stays_exact_where_the_backend_may_round(monkeypatch):
    from keras_mvssl.distribution import precision

    monkeypatch.setattr(precision, "_may_round", lambda: True)
    test_matmul()


def test_require_rows():
    x = ops.ones((3, 2))
    assert distribution.require_rows(x, 3, "Too few.") is x
    with pytest.raises(ValueError, match=r"Too few. Received: shape=\(3, 2\)"):
        distribution.require_rows(x, 4, "Too few.")


def test_this_process_is_known():
    assert distribution.device_name()
    assert distribution.peak_memory() > 1e7
    assert set(distribution.versions()) == {"keras", keras.backend.backend()}
