"""One test for each private part of Keras that the package relies on."""

import ast
import inspect
import warnings

import keras
import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl._internal.keras_private import PRIVATE_PARTS


def flatten_layers(tmp_path):
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="deep")])
    outer = keras.Sequential([keras.Input((2,)), inner])
    assert "deep" in [layer.name for layer in outer._flatten_layers()]


def moments(tmp_path):
    layer = keras.layers.BatchNormalization()
    layer.build((None, 2))
    called = []

    def count(inputs, mask):
        called.append(mask)
        return keras.ops.moments(inputs, 0)

    layer._moments = count
    layer(np.ones((4, 2), "float32"), training=True)
    assert called == [None]


def reduction_axes(tmp_path):
    layer = keras.layers.BatchNormalization()
    layer.build((None, 3, 4, 2))
    assert list(layer._reduction_axes) == [0, 1, 2]


def user_loss_weights(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", loss_weights=[2.0])
    assert model._compile_loss._user_loss_weights == [2.0]


def source_of_fit():
    return inspect.getsource(inspect.unwrap(keras.Model.fit))


def jax_state(tmp_path):
    if keras.backend.backend() != "jax":
        pytest.skip("Only on JAX.")
    assert "self._jax_state = {" in source_of_fit()


def value_of_variable(tmp_path):
    variable = keras.Variable(np.ones(2))
    assert variable._value is not None
    if keras.backend.backend() != "jax":
        return
    source = inspect.getsource(keras.Model._purge_model_variables)
    assert "._value = None" in source
    source = inspect.getsource(keras.Model.jax_state_sync)
    assert "_jax_state_synced" in source and "assign(" in source


def cached_eval_dataset(tmp_path):
    assert "_use_cached_eval_dataset=True" in source_of_fit()


def module_names(tmp_path):
    assert keras.losses.MeanSquaredError.__module__.startswith("keras.src.")
    assert keras.losses.mean_squared_error.__module__.startswith("keras.src.")


def variable_index(tmp_path):
    variables = [keras.Variable(np.ones(2)), keras.Variable(np.ones(3))]
    optimizer = mv.optimizers.LARS()
    optimizer.build(variables)
    assert optimizer._get_variable_index(variables[1]) == 1


def apply_weight_decay(tmp_path):
    optimizer = keras.optimizers.SGD(1.0, weight_decay=0.5)
    called = []
    optimizer._apply_weight_decay = called.append
    variable = keras.Variable([1.0])
    optimizer.apply([keras.ops.zeros((1,))], [variable])
    assert called and keras.ops.convert_to_numpy(variable.value)[0] == 1.0


def use_weight_decay(tmp_path):
    variables = [keras.Variable([1.0], name=name) for name in ("kept", "other")]
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.exclude_from_weight_decay(var_names=["kept"])
    optimizer.build(variables)
    assert [optimizer._use_weight_decay(x) for x in variables] == [False, True]


def skipping_variable_loading(tmp_path):
    def model(optimizer):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(optimizer, "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    path = tmp_path / "model.keras"
    model("adam").save(path)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model("sgd").load_weights(path)
    assert any("Skipping variable loading" in str(x.message) for x in found)


def random_generator(tmp_path):
    keras_cv = pytest.importorskip("keras_cv", reason="KerasCV is not installed.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = keras_cv.layers.RandomFlip()
    assert hasattr(layer, "_random_generator")


def batch_augment(tmp_path):
    keras_cv = pytest.importorskip("keras_cv", reason="KerasCV is not installed.")
    call = inspect.unwrap(keras_cv.layers.BaseImageAugmentationLayer.call)
    assert "self._batch_augment(" in inspect.getsource(call)


def inner_iterations(tmp_path):
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    assert int(optimizer.inner_optimizer._iterations) == 0


def seen_batches(tmp_path):
    kept = keras.callbacks.ModelCheckpoint(tmp_path / "a.keras", save_freq=5)
    for batch in (2, 3):
        assert not kept._should_save_on_batch(batch)
    assert kept._batches_seen_since_last_saving == 4 and kept._last_batch_seen == 3


def averages_in_model(tmp_path):
    assert keras.callbacks.SwapEMAWeights()._ema_weights_in_model is False


def train_batch(tmp_path):
    assert keras.callbacks.TensorBoard(tmp_path)._global_train_batch == 0
    assert keras.callbacks.TensorBoard(tmp_path)._global_test_batch == 0


def callback_list(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert keras.callbacks.CallbackList(model=model)._model is model


def remat_mode(tmp_path):
    with keras.RematScope(mode="full"):
        layer = keras.layers.Dense(1)
    assert layer._remat_mode is not None
    assert keras.layers.Dense(1)._remat_mode is None


def seed_generators(tmp_path):
    layer = keras.layers.Layer()
    layer.several = [keras.random.SeedGenerator(0)]
    assert layer._seed_generators == layer.several
    assert len(keras.layers.Dropout(0.5)._seed_generators) == 1


TESTS = {
    "Layer._remat_mode": remat_mode,
    "Layer._seed_generators": seed_generators,
    "Model._flatten_layers": flatten_layers,
    "BatchNormalization._moments": moments,
    "BatchNormalization._reduction_axes": reduction_axes,
    "Model._compile_loss._user_loss_weights": user_loss_weights,
    "Model._jax_state": jax_state,
    "Model.evaluate(_use_cached_eval_dataset)": cached_eval_dataset,
    "Variable._value, which is None while JAX trains": value_of_variable,
    "module names that begin with keras.src.": module_names,
    "Optimizer._get_variable_index": variable_index,
    "Optimizer._apply_weight_decay": apply_weight_decay,
    "Optimizer._use_weight_decay": use_weight_decay,
    "the warning `Skipping variable loading`": skipping_variable_loading,
    "LossScaleOptimizer.inner_optimizer._iterations": inner_iterations,
    "ModelCheckpoint._batches_seen_since_last_saving": seen_batches,
    "ModelCheckpoint._last_batch_seen": seen_batches,
    "SwapEMAWeights._ema_weights_in_model": averages_in_model,
    "TensorBoard._global_train_batch": train_batch,
    "CallbackList._model": callback_list,
    "keras_cv layer._random_generator": random_generator,
    "keras_cv layer._batch_augment": batch_augment,
}


def test_all_are_tested():
    assert TESTS.keys() == PRIVATE_PARTS.keys()


def test_all_are_listed():
    """Private attributes of other objects than `self`, but for those that we set."""
    own = {"_averaging_hook", "_replace", "_get_variable_index"}
    # Of TensorFlow; without them, an odd last batch is found at the end of an epoch.
    own |= {"_input_dataset", "_batch_size"}
    own |= {"_exit"}  # of `os`
    own |= {"_iterator"}  # of torch's DataLoader, whose workers may live on
    known = " ".join(PRIVATE_PARTS)
    for path in sorted((helpers.ROOT / "keras_mvssl").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute) or node.attr.startswith("__"):
                continue
            owner = ast.unparse(node.value)
            if node.attr.startswith("_") and owner not in ("self", "cls", "super()"):
                is_known = node.attr in known or node.attr in own
                assert is_known or "._" in f".{owner}", (
                    path.name,
                    node.lineno,
                    node.attr,
                )


@pytest.mark.parametrize("name", TESTS)
def test_keras_still_has(name, tmp_path):
    try:
        TESTS[name](tmp_path)
    except (AssertionError, AttributeError, TypeError, ImportError) as error:
        pytest.fail(
            f"Keras {keras.__version__} changed a private part, {name}, that "
            f"{PRIVATE_PARTS[name]} relies on: {error!r}"
        )
