import json

import keras
import numpy as np
import pytest

from keras_mvssl.optimizers import LARS
from keras_mvssl.optimizers import scaled_rate
from keras_mvssl.optimizers import warmup_cosine

SETTINGS = dict(momentum=0.8, weight_decay=0.01, trust_coefficient=0.02)


def reference(weights, gradients, rates):
    """LARS in float64, from the paper's algorithm 1."""
    weights = [w.astype("float64") for w in weights]
    velocities = [np.zeros_like(w) for w in weights]
    for step, rate in zip(gradients, rates, strict=True):
        for i, g in enumerate(step):
            w, g = weights[i], g.astype("float64")
            if w.ndim > 1:
                norms = np.linalg.norm(w), np.linalg.norm(g)
                ratio = 1.0
                if min(norms) > 0:
                    ratio = 0.02 * norms[0] / (norms[1] + 0.01 * norms[0])
                g = ratio * (g + 0.01 * w)
            velocities[i] = 0.8 * velocities[i] + rate * g
            weights[i] = w - velocities[i]
    return weights


def test_lars_is_the_papers():
    rng = np.random.default_rng(0)
    shapes = (3, 3, 2, 4), (5, 6), (6,), (), (4, 4), (4, 4)
    weights = [rng.normal(size=shape).astype("float32") for shape in shapes]
    weights[-1][:] = 0.0
    steps = [[rng.normal(size=x).astype("float32") for x in shapes] for _ in range(20)]
    for step in steps[:10]:
        step[-2][:] = 0.0  # a weight without a gradient, for a while
    schedule = warmup_cosine(0.5, 20, 5)
    variables = [keras.Variable(w) for w in weights]
    optimizer = LARS(schedule, **SETTINGS)
    for step in steps:
        gradients = [keras.ops.convert_to_tensor(g) for g in step]
        optimizer.apply(gradients, variables)
    rates = [float(schedule(i)) for i in range(20)]
    for got, expected in zip(variables, reference(weights, steps, rates), strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(got), expected, rtol=2e-5, atol=2e-6
        )


def test_lars_trains_saves_and_loads(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile(optimizer=LARS(0.5, **SETTINGS), loss="mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, loaded):
        each.fit(x, y, verbose=0, shuffle=False)
    for got, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("size, slope", [(0.05, 1e-2), (4.0, 1e-4), (0.05, 8.0)])
def test_lars_on_other_float_types(dtype, size, slope):
    """Norms beyond what float16 holds: a step as in float64, on the same numbers."""
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has float64 only where it is switched on.")
    rng = np.random.default_rng(0)
    w, g = (x * rng.choice([-1.0, 1.0], (128, 128)) for x in (size, slope))
    variable = keras.Variable(w.astype("float32"), dtype=dtype)
    gradient = keras.ops.cast(g, dtype)

    def value(x):
        return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")))

    before, slopes = value(variable.value), value(gradient)
    LARS(1.0, **{**SETTINGS, "trust_coefficient": 0.1}).apply([gradient], [variable])
    norms = np.linalg.norm(before.astype("float64")), np.linalg.norm(slopes)
    ratio = 0.1 * norms[0] / (norms[1] + 0.01 * norms[0])
    expected = -ratio * (slopes + 0.01 * before)
    error = np.linalg.norm(value(variable.value) - before - expected)
    assert error < 0.05 * np.linalg.norm(expected)


def decayed(optimizer, exclude):
    """What a step without a gradient leaves of two kernels of 2."""
    kernels = [
        keras.Variable(np.full((2, 3), 2.0, "float32"), name=name)
        for name in ("kernel", "embedding")
    ]
    exclude(optimizer, kernels)
    optimizer.apply([keras.ops.zeros((2, 3))] * 2, kernels)
    return [float(keras.ops.convert_to_numpy(x.value)[0, 0]) for x in kernels]


@pytest.mark.parametrize("by", ["names", "list"])
def test_what_lars_does_not_decay(by):
    def exclude(optimizer, kernels):
        chosen = {"names": dict(var_names=["emb"]), "list": dict(var_list=kernels[1:])}
        optimizer.exclude_from_weight_decay(**chosen[by])

    optimizer = LARS(1.0, momentum=0.0, weight_decay=0.1)
    assert decayed(optimizer, exclude) == pytest.approx([2 - 0.1 * 2, 2.0])
    assert optimizer.weight_decay == 0.1
    without = LARS(1.0, weight_decay=None)
    assert without.weight_decay is None
    assert decayed(without, lambda *args: None) == [2.0, 2.0]
    again = LARS.from_config(without.get_config())
    assert again.weight_decay is None


def trained(dtype="float32", constraint=None, steps=4, micro=1, **settings):
    """Two kernels and an offset after some steps of LARS in a model, as float32."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    x = keras.layers.Dense(4, kernel_constraint=constraint, dtype=dtype)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, dtype=dtype)(x))
    optimizer = LARS(0.5, **{**SETTINGS, **settings})
    model.compile(optimizer=optimizer, loss="mse", auto_scale_loss=dtype != "float32")
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(steps, 1, 8, n)).repeat(micro, 1) for n in (3, 2))
    for batch in zip(x.reshape(-1, 8, 3), y.reshape(-1, 8, 2), strict=True):
        model.train_on_batch(*batch)
    if settings.get("use_ema"):
        optimizer.finalize_variable_values(model.trainable_variables)
    return [np.asarray(w, "float32") for w in model.get_weights()]


def test_accumulated_gradients_are_those_of_one_step():
    whole, parts = trained(), trained(micro=2, gradient_accumulation_steps=2)
    for one, other in zip(parts, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_lars_with_scaled_losses():
    plain, scaled = trained(), trained("mixed_float16")
    fixed = trained(loss_scale_factor=128.0)
    for one, other, same in zip(scaled, plain, fixed, strict=True):
        np.testing.assert_allclose(one, other, atol=0.02)
        np.testing.assert_allclose(same, other, rtol=1e-5, atol=1e-6)


def test_lars_clips_averages_and_constrains():
    plain = trained()
    # The trust ratio undoes the clipping of kernels, not that of offsets.
    for clip in (dict(clipnorm=1e-3), dict(clipvalue=1e-3), dict(global_clipnorm=1e-3)):
        clipped = trained(**clip)
        assert np.abs(clipped[1]).max() < 0.02 < np.abs(plain[1]).max()
    averaged = trained(use_ema=True, ema_momentum=0.5)
    first, last = trained(steps=1)[0], plain[0]
    distances = [np.abs(x - averaged[0]).max() for x in (first, last)]
    assert all(1e-5 < x < np.abs(first - last).max() for x in distances)
    held = trained(constraint=keras.constraints.MaxNorm(0.5))[0]
    assert np.linalg.norm(held, axis=0).max() < 0.501
    assert np.linalg.norm(plain[0], axis=0).max() > 0.6


def test_lars_trains_embeddings():
    """Their gradients are sparse in TensorFlow."""
    model = keras.Sequential(
        [keras.Input((2,), dtype="int32"), keras.layers.Embedding(5, 3)]
    )
    model.compile(LARS(0.5, weight_decay=0.0, momentum=0.0), loss="mse")
    before = model.get_weights()[0]
    model.train_on_batch(np.array([[0, 1]]), np.ones((1, 2, 3)))
    changed = np.abs(model.get_weights()[0] - before).max(axis=1) > 0
    assert changed.tolist() == [True, True, False, False, False]


def test_settings_from_numpy_are_written_as_json():
    number, eight = np.float32(0.25), np.int64(8)
    rate = warmup_cosine(number, eight, np.int32(2))
    for optimizer in (
        LARS(number, number, number, number),
        LARS(1, 0, 1, 1),  # ints, as other numbers
        LARS(rate),
    ):
        config = json.loads(json.dumps(optimizer.get_config()))
        assert LARS.from_config(config).get_config() == optimizer.get_config()
    assert LARS(number).get_config()["learning_rate"] == 0.25
    json.dumps([scaled_rate(number, eight), scaled_rate(0.1, eight, np.int32(2))])


@pytest.mark.parametrize(
    "settings",
    [dict(momentum=1.0), dict(weight_decay=-1.0), dict(trust_coefficient=0.0)],
)
def test_bad_settings_of_lars(settings):
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f"`{name}` .*Received: {name}={value}"):
        LARS(**settings)


def test_rates():
    schedule = warmup_cosine(0.2, steps=12, warmup_steps=4)
    rates = [float(schedule(i)) for i in (0, 2, 4, 8, 12)]
    np.testing.assert_allclose(rates, [0, 0.1, 0.2, 0.1, 0], atol=1e-7)
    assert float(warmup_cosine(0.2, steps=12)(0)) == pytest.approx(0.2)
    assert scaled_rate(0.2, 1024) == pytest.approx(0.8)
    assert scaled_rate(1e-3, 1024, rule="sqrt") == pytest.approx(2e-3)
    with pytest.raises(ValueError, match="Received: warmup_steps=4, steps=4"):
        warmup_cosine(0.2, steps=4, warmup_steps=4)
    with pytest.raises(ValueError, match="rule='cubic'"):
        scaled_rate(0.2, 1024, rule="cubic")
