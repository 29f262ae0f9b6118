"""What is kept of a run works elsewhere: in plain Keras, in other programs."""

import ast
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


@pytest.fixture(params=[((32, 32), [(32, 32)]), ((None, None), [(16, 16), (23, 40)])])
def exported(request):
    """An encoder, images of sizes that it takes, and their features."""
    size, sizes = request.param
    encoder = mv.models.TinyResNet((*size, 3), width=8)
    helpers.set_numbered_weights(encoder)
    images, _ = mv.data.shapes.draw(8)
    images = images.astype("float32")
    images = [np.resize(images, (8, *size, 3)) for size in sizes]
    # Before an export to ONNX, Keras wants a call.
    return encoder, images, [ops.convert_to_numpy(encoder(x)) for x in images]


# Keras' exporters call what PyTorch, JAX and NumPy will remove, and PyTorch's tracer
# warns of each size that it sees.
exporters_warn = pytest.mark.filterwarnings("ignore")


@exporters_warn
def test_export_to_saved_model(exported, tmp_path):
    if keras.backend.backend() == "torch":
        pytest.skip("Keras 3.15 cannot, on torch.")
    tf = pytest.importorskip("tensorflow")
    encoder, images, features = exported
    arguments = {}
    if keras.backend.backend() == "jax" and encoder.input_shape[1] is None:
        # JAX cannot write gradients of strided convolutions of unknown sizes.
        arguments["jax2tf_kwargs"] = {"with_gradient": False}
    encoder.export(
        tmp_path / "saved", format="tf_saved_model", verbose=False, **arguments
    )
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    for x, expected in zip(images, features, strict=True):
        np.testing.assert_allclose(np.asarray(loaded.serve(x)), expected, atol=1e-4)


@exporters_warn
def test_export_to_onnx(exported, tmp_path):
    needs = {"tensorflow": ["tf2onnx"], "jax": ["jax2onnx"], "torch": ["onnxscript"]}
    for package in ("onnx", "onnxruntime", *needs[keras.backend.backend()]):
        pytest.importorskip(package)
    import onnxruntime

    encoder, images, features = exported
    path = str(tmp_path / "encoder.onnx")
    encoder.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    (source,) = session.get_inputs()
    for x, expected in zip(images, features, strict=True):
        (found,) = session.run(None, {source.name: x})
        np.testing.assert_allclose(found, expected, atol=1e-4)


@exporters_warn
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_float32_copy_of_any_precision_exports(policy, tmp_path):
    """As the guide on transfer says; ONNX Runtime has no bfloat16."""
    needs = {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"}
    pytest.importorskip(needs[keras.backend.backend()])
    onnxruntime = pytest.importorskip("onnxruntime")
    guide = ast.parse((helpers.ROOT / "guides/transfer_and_fine_tuning.py").read_text())
    (code,) = (x for x in guide.body if getattr(x, "name", "") == "in_float32")
    scope = {"keras": keras}
    exec(ast.unparse(code), scope)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        encoder = mv.models.TinyResNet((16, 16, 3), width=8)
    finally:
        keras.config.set_dtype_policy(before)
    helpers.set_numbered_weights(encoder)
    images = mv.data.shapes.draw(8)[0][:, :16, :16].astype("float32")
    copy = scope["in_float32"](encoder)
    expected = ops.convert_to_numpy(copy(images))
    rounded = ops.convert_to_numpy(ops.cast(encoder(images), "float32"))
    np.testing.assert_allclose(expected, rounded, atol=0.05 * expected.max())
    copy.export(str(tmp_path / "encoder.onnx"), format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    np.testing.assert_allclose(found, expected, atol=1e-4)
