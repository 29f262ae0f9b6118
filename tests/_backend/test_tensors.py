import pytest
from keras import ops

from keras_mvssl import _backend


def test_require_rows():
    x = ops.ones((3, 2))
    assert _backend.require_rows(x, 3, "Too few.") is x
    with pytest.raises(ValueError, match=r"Too few. Received: shape=\(3, 2\)"):
        _backend.require_rows(x, 4, "Too few.")
