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
