"""What is kept of a run works elsewhere: in plain Keras, in other programs."""

import importlib.util

import keras
import numpy as np
import pytest
from keras import ops

import helpers
import keras_mvssl as mv

BACKENDS = [
    name
    for name in ("tensorflow", "jax", "torch")
    if importlib.util.find_spec(name) is not None
]

# Where the package is installed it cannot be imported all the same.
LOAD = """
import sys
sys.modules["keras_mvssl"] = None
import keras
import numpy as np
encoder = keras.saving.load_model(sys.argv[1] + ".keras")
with np.load(sys.argv[1] + ".npz") as kept:
    features = encoder.predict(kept["images"], verbose=0)
    np.testing.assert_allclose(features, kept["features"], atol=1e-4)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained encoder on disk, with the features that a probe sees."""
    path = tmp_path_factory.mktemp("trained") / "encoder"
    images, labels = mv.data.shapes.draw(64)
    encoder = mv.models.TinyResNet((32, 32, 3), width=8)
    projector = mv.models.Projector(64, dim=16)
    views = mv.views.RandomViews(mv.views.Augmentation.preset("shapes"), views=2)
    model = mv.MultiViewModel(encoder, projector, views)
    model.compile(optimizer="adam")
    model.fit(mv.data.batches(images, batch_size=32), epochs=2, verbose=0)
    encoder.save(f"{path}.keras")
    features, _ = mv.evaluation.extract_features(encoder, (images, labels))
    np.savez(path, images=images, features=features)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_encoder_loads_in_plain_keras_on_any_backend(backend, trained):
    result = helpers.run_python("-c", LOAD, trained, backend=backend)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def encoder():
    encoder = mv.models.TinyResNet((32, 32, 3), width=8)
    helpers.set_numbered_weights(encoder)
    return encoder


@pytest.fixture
def views():
    images, _ = mv.data.shapes.draw(8)
    return images.astype("float32")


# Keras' exporters call what PyTorch, JAX and NumPy will remove, and PyTorch's tracer
# warns of each size that it sees.
exporters_warn = pytest.mark.filterwarnings("ignore")


@exporters_warn
def test_export_to_saved_model(encoder, views, tmp_path):
    if keras.backend.backend() == "torch":
        pytest.skip("Keras 3.15 cannot, on torch.")
    tf = pytest.importorskip("tensorflow")
    expected = ops.convert_to_numpy(encoder(views))
    encoder.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(np.asarray(loaded.serve(views)), expected, atol=1e-4)


@exporters_warn
def test_export_to_onnx(encoder, views, tmp_path):
    needs = {"tensorflow": ["tf2onnx"], "jax": ["jax2onnx"], "torch": ["onnxscript"]}
    for package in ("onnx", "onnxruntime", *needs[keras.backend.backend()]):
        pytest.importorskip(package)
    import onnxruntime

    path = str(tmp_path / "encoder.onnx")
    expected = ops.convert_to_numpy(encoder(views))  # Keras wants a call before.
    encoder.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    (images,) = session.get_inputs()
    (features,) = session.run(None, {images.name: views})
    np.testing.assert_allclose(features, expected, atol=1e-4)
