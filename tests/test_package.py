import importlib.util

import pytest

import helpers
import keras_mvssl as mv


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_import_brings_no_tensorflow(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed.")
    code = """
import sys
import keras
import numpy as np
import keras_mvssl as mv
images = keras.Input((4, 4, 3))
encoder = keras.Model(images, keras.layers.Flatten()(images))
model = mv.MultiViewModel(encoder, mv.models.Projector(48, 8))
model.compile()
model.fit(np.random.randint(0, 256, (4, 2, 4, 4, 3)), verbose=0)
heavy = {"tensorflow", "tensorflow_datasets", "keras_cv"} & set(sys.modules)
assert not heavy, heavy
"""
    result = helpers.run_python("-c", code, backend=backend)
    assert result.returncode == 0, result.stderr


def test_an_unknown_backend_is_named():
    result = helpers.run_python("-c", "import keras_mvssl", backend="jx")
    last = result.stderr.strip().splitlines()[-1]
    assert "'jax' or 'torch'" in last and "pip install" in last
    assert last.endswith("Received: KERAS_BACKEND=jx")


def test_all_packages_are_reached_by_their_name():
    code = "import keras_mvssl; keras_mvssl.training.Recipe, keras_mvssl.report.write"
    result = helpers.run_python("-c", code)
    assert result.returncode == 0, result.stderr
    assert not hasattr(mv, "trainin")
