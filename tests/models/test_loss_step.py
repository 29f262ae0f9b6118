"""Losses that draw random numbers by the step of training."""

import keras
import numpy as np
import pytest
from keras import ops

import helpers
import keras_mvssl as mv
from keras_mvssl.models.multi_view_model import EVALUATION_STEP
from programs.own_losses import Drawn

BACKEND = keras.backend.backend()


def views(batch=8):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (batch, 2, 12, 12, 3), dtype="uint8")


def compiled(model, loss, rate=0.0, **settings):
    model.compile(keras.optimizers.SGD(rate, **settings), loss)
    return model


class Losses(keras.callbacks.Callback):
    """Collects the loss of each step, where an epoch is one step."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_epoch_end(self, epoch, logs=None):
        self.found.append(logs["loss"])


def losses(model, steps):
    watch = Losses()
    model.fit(views(), batch_size=8, epochs=steps, callbacks=[watch], verbose=0)
    return watch.found


def expected(steps):
    """The losses of `Drawn` at some steps."""
    numbers = [mv.losses.random_normal((3,), seed=7, step=step) for step in steps]
    return [float(ops.convert_to_numpy(x).sum()) for x in numbers]


@pytest.mark.parametrize("settings", [{}, {"gradient_accumulation_steps": 2}])
def test_each_step_has_numbers_of_its_own(model, settings):
    compiled(model, Drawn(), **settings)
    found = losses(model, 3)
    np.testing.assert_allclose(found, expected([0, 1, 2]), atol=1e-5)
    assert len(set(np.round(found, 5))) == 3
    assert int(model.loss_step) == 3
    # Evaluation draws the same numbers each time, and is not counted.
    for _ in range(2):
        found = model.evaluate(views(), batch_size=4, verbose=0)
        assert found == pytest.approx(expected([EVALUATION_STEP])[0], abs=1e-5)
    assert int(model.loss_step) == 3
    # A tensor of a compiled step does not stay behind.
    assert type(model.loss.step) is int


def test_a_saved_model_goes_on_with_its_step(model, tmp_path):
    whole = losses(compiled(model, Drawn()), 2)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert int(copy.loss_step) == 2
    whole = losses(model, 2)
    np.testing.assert_allclose(losses(copy, 2), whole, atol=1e-6)
    np.testing.assert_allclose(whole, expected([2, 3]), atol=1e-5)


def test_a_stopped_training_goes_on_with_its_step(model, tmp_path):
    def train(folder, stop_after=None):
        copy = mv.MultiViewModel.from_config(model.get_config())
        copy.set_weights(model.get_weights())
        compiled(copy, Drawn(), 0.01)
        checkpoint = mv.callbacks.Checkpoint(tmp_path / folder)

        def stop(batch, logs):
            checkpoint.stop = "the test" if batch == stop_after else None

        mv.training.fit(
            copy,
            lambda step: ((views(),) for _ in range(step, 4)),
            1,
            4,
            checkpoint,
            [keras.callbacks.LambdaCallback(on_train_batch_end=stop)],
            verbose=0,
        )
        return copy

    whole = train("whole")
    with pytest.raises(mv.training.Interrupted):
        train("stopped", stop_after=1)
    found = train("stopped")
    assert int(found.loss_step) == int(whole.loss_step) == 4
    for got, other in zip(helpers.weights_of(found), helpers.weights_of(whole)):
        np.testing.assert_allclose(got, other, atol=1e-6)


def test_the_weight_is_there_for_losses_with_a_step_alone(model, tmp_path):
    plain = len(model.weights)

    class Paced(Drawn):
        step = 0.5  # a setting of its own

        def call(self, y_true, y_pred):
            return ops.reshape(ops.mean(y_pred) * 0 + self.step, (1,))

    assert losses(compiled(model, Paced()), 1) == [0.5]
    assert len(model.weights) == plain
    losses(compiled(model, Drawn()), 1)
    assert len(model.weights) == plain + 1
    losses(compiled(model, Drawn()), 1)  # It goes on, as the step of views does.
    assert int(model.loss_step) == 2
    compiled(model, mv.losses.BarlowTwins())
    assert len(model.weights) == plain and model.loss_step is None
    losses(model, 1)
    model.save(tmp_path / "model.keras")
    keras.saving.load_model(tmp_path / "model.keras")


def with_generator():
    loss = Drawn()
    loss.parts = [{"seed": keras.random.SeedGenerator(0)}]
    return loss


def with_variable():
    factor = keras.Variable(1.0)
    return lambda y_true, y_pred: factor * ops.mean(y_pred, axis=(1, 2))


def with_layer():
    loss = Drawn()
    loss.layer = keras.layers.Dropout(0.5, seed=0)
    return loss


@pytest.mark.parametrize("make", [with_generator, with_variable, with_layer])
def test_variables_that_jax_would_freeze(model, make):
    loss = make()
    if BACKEND != "jax":
        compiled(model, loss)
        return
    with pytest.raises(ValueError, match="Declare `step = 0`.*Received: loss="):
        compiled(model, loss)


def test_a_loss_may_hold_the_variables_of_its_model(model):
    loss = Drawn()
    loss.kernel = model.projector.trainable_variables[0]
    losses(compiled(model, loss), 1)


def test_random_numbers():
    normal = ops.convert_to_numpy(mv.losses.random_normal((500, 200), 3, 2**40))
    assert normal.dtype == "float32" and normal.shape == (500, 200)
    assert abs(normal.mean()) < 0.02 and abs(normal.std() - 1) < 0.02
    assert abs(np.mean(normal**4) - 3) < 0.1
    uniform = ops.convert_to_numpy(mv.losses.random_uniform((10_000,), 3, 5))
    counts, _ = np.histogram(uniform, 10, (0, 1))
    assert counts.min() > 850
    # The same on every backend.
    first = [0.94646728, 0.5675022, 0.77211797]
    np.testing.assert_allclose(uniform[:3], first, atol=1e-7)
    for seed, step in ((4, 5), (3, 6)):
        other = ops.convert_to_numpy(mv.losses.random_uniform((10_000,), seed, step))
        assert abs(np.corrcoef(uniform, other)[0, 1]) < 0.04
    for arguments in (((-1,), 0, 0), ((2,), -1, 0), ((2,), 0, 0.5), ((2**31,), 0, 0)):
        with pytest.raises(ValueError, match="Received: (shape|seed|step)="):
            mv.losses.random_normal(*arguments)
