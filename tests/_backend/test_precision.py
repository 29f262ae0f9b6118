import numpy as np
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
