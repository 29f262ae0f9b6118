"""What a training that goes on carries over from the one before, part by part."""

import contextlib
import importlib.util

import keras
import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl.callbacks.training_settings import refuse_others
from keras_mvssl.callbacks.training_settings import training_settings

K = keras.callbacks
EPOCHS, STEPS, BATCH, SIZE = 4, 2, 8, 8
PIXELS = np.random.default_rng(0).integers(0, 256, (2 * BATCH, SIZE, SIZE, 3))
IMAGES = PIXELS.astype("uint8")
AUGMENTATION = mv.views.Augmentation(size=SIZE)


class Score(K.Callback):
    """Logs a score that first rises, then falls."""

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = [0.1, 0.9, 0.5, 0.4, 0.3][epoch]


def build(optimizer, loss=None, views=2, scale=1 / 255, policy="float32"):
    keras.utils.set_random_seed(0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    encoder = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Rescaling(scale),
            keras.layers.Conv2D(4, 4, strides=4),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    views = mv.views.RandomViews(AUGMENTATION, views)
    model = mv.MultiViewModel(encoder, mv.models.Projector(4, 4), views)
    keras.config.set_dtype_policy(before)
    # Quicker than to compile a few steps.
    model.compile(optimizer, loss or mv.losses.BarlowTwins(), run_eagerly=True)
    # Those that initializers draw differ between backends.
    helpers.set_numbered_weights(model)
    return model


def fit(model, folder, callbacks=(), stop_at=None, epochs=EPOCHS):
    """Train, or go on, and return the weights; after `stop_at` steps, be stopped."""
    checkpoint = mv.callbacks.Checkpoint(folder, monitor="score")
    counts = iter(range(1, 100))

    def look(batch, logs):
        if next(counts) == stop_at:
            checkpoint.stop = "the test"

    watch = K.LambdaCallback(on_train_batch_end=look)
    with contextlib.suppress(mv.training.Interrupted):
        mv.training.fit(
            model,
            lambda step: mv.data.batches(IMAGES, BATCH, start_step=step),
            epochs,
            STEPS,
            checkpoint,
            [Score(), *callbacks, watch],
            verbose=0,
        )
    return helpers.weights_of(model)


def assert_carried_over(tmp_path, make_optimizer, make_callbacks=tuple, stops=(3,)):
    """Check that a training in parts ends with the weights of one that was not."""
    whole = fit(build(make_optimizer()), tmp_path / "whole", make_callbacks())
    for stop_at in (*stops, None):
        model = build(make_optimizer())
        parts = fit(model, tmp_path / "parts", make_callbacks(), stop_at)
    # The finished training, started again, ends the same.
    again = fit(build(make_optimizer()), tmp_path / "parts", make_callbacks())
    for one, other, third in zip(whole, parts, again, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)


OPT = keras.optimizers


def two_optimizers():
    kinds = OPT.OptimizerMap(OPT.SGD(0.1))
    kinds["projector.*"] = OPT.Adam(0.01, use_ema=True, ema_momentum=0.9)
    return OPT.MultiOptimizer(kinds)


OPTIMIZERS = {
    "averaged": lambda: OPT.Adam(0.01, use_ema=True, ema_momentum=0.9),
    "averages put back": lambda: OPT.Adam(
        0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=5
    ),
    "averaged, accumulated": lambda: OPT.AdamW(
        0.01, use_ema=True, gradient_accumulation_steps=3
    ),
    "averaged, scaled": lambda: OPT.LossScaleOptimizer(
        OPT.Adam(0.01, use_ema=True), initial_scale=8.0, dynamic_growth_steps=4
    ),
    "accumulated": lambda: OPT.SGD(0.1, momentum=0.9, gradient_accumulation_steps=5),
    "clipped": lambda: OPT.Adam(0.01, global_clipnorm=0.1),
    "scheduled": lambda: OPT.Adam(OPT.schedules.CosineDecay(0.01, 12)),
    "LARS": lambda: mv.optimizers.LARS(0.5),
    "two": two_optimizers,
    **{
        name: getattr(OPT, name)
        for name in (
            *("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl"),
            *("Lamb", "Lion", "Muon", "Nadam", "RMSprop", "SGD", "ScheduleFreeAdamW"),
        )
    },
}


def named(module, base):
    """Return the names of the classes of a kind that Keras offers."""
    found = {name: getattr(module, name) for name in dir(module)}
    return {k for k, v in found.items() if isinstance(v, type) and issubclass(v, base)}


def test_no_optimizer_of_keras_is_left_out():
    others = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"}
    assert named(OPT, OPT.Optimizer) - others <= set(OPTIMIZERS)


def test_averages_of_weights(tmp_path):
    assert_carried_over(tmp_path, OPTIMIZERS["averaged"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [x for x in OPTIMIZERS if x != "averaged"])
def test_every_optimizer(tmp_path, name):
    assert_carried_over(tmp_path, OPTIMIZERS[name])


def averaged():
    return OPT.Adam(0.1, use_ema=True, ema_momentum=0.9)


def plateau():
    # The score falls from the second epoch on.
    return K.ReduceLROnPlateau("score", patience=1, mode="max", factor=0.1)


CALLBACKS = {
    "EarlyStopping": lambda: [
        K.EarlyStopping("score", mode="max", patience=1, restore_best_weights=True)
    ],
    "EarlyStopping, never": lambda: [
        K.EarlyStopping("score", mode="max", patience=9, restore_best_weights=True)
    ],
    "ReduceLROnPlateau": lambda: [plateau()],
    "LearningRateScheduler": lambda: [
        K.LearningRateScheduler(lambda epoch, rate: float(rate) / 2)
    ],
    "SwapEMAWeights": lambda: [K.SwapEMAWeights(swap_on_epoch=True)],
    "TerminateOnNaN": lambda: [K.TerminateOnNaN()],
    "LambdaCallback": lambda: [K.LambdaCallback(on_epoch_begin=lambda *_: None)],
}
# The callbacks that have tests of their own, write only, or are no business of `fit`.
OTHERS = {
    *("BackupAndRestore", "CSVLogger", "ModelCheckpoint", "TensorBoard"),
    *("History", "OrbaxCheckpoint", "ProgbarLogger", "RemoteMonitor"),
    *("Callback", "CallbackList"),
}


def test_no_callback_of_keras_is_left_out():
    assert named(K, K.Callback) <= {*CALLBACKS, *OTHERS}


@pytest.mark.parametrize(
    "name, stops",
    [(name, (5,)) for name in CALLBACKS] + [("SwapEMAWeights", (4,))],
)
def test_what_callbacks_remember(tmp_path, name, stops):
    assert_carried_over(tmp_path, averaged, CALLBACKS[name], stops)


@pytest.mark.parametrize("settings", [{"save_best_only": True}, {"save_freq": 4}])
def test_model_checkpoint_saves_the_same(tmp_path, settings):
    found = []
    for folder, stops in (("whole", (None,)), ("parts", (3, 2, None))):
        path = tmp_path / folder / "{epoch}-{batch}.weights.h5"
        path.parent.mkdir()
        for stop_at in stops:
            kept = K.ModelCheckpoint(
                str(
                    path if "save_freq" in settings else path.with_name("a.weights.h5")
                ),
                monitor="score",
                mode="max",
                save_weights_only=True,
                **settings,
            )
            fit(build(OPT.Adam(0.01)), path.parent / "run", [kept], stop_at)
        found.append({})
        for file in sorted(path.parent.glob("*.h5")):
            model = build(OPT.Adam(0.01))
            model.optimizer.build(model.trainable_variables)
            model.load_weights(file)
            found[-1][file.name] = helpers.weights_of(model)
    assert found[0].keys() == found[1].keys() and found[0]
    for name, weights in found[0].items():
        for one, other in zip(weights, found[1][name], strict=True):
            np.testing.assert_array_equal(one, other, name)


@pytest.mark.parametrize(
    "callback, problem",
    [
        (lambda path: K.BackupAndRestore(str(path / "b")), "BackupAndRestore"),
        (lambda path: K.CSVLogger(str(path / "a.csv")), "use .*MetricsCSV"),
    ],
)
def test_callbacks_that_would_harm_are_refused(tmp_path, callback, problem):
    with pytest.raises(ValueError, match=f"(?i){problem}.*Received: "):
        fit(build(OPT.SGD()), tmp_path / "run", [callback(tmp_path)])
    assert not (tmp_path / "run").exists()


class Counter(K.Callback):
    def __init__(self):
        super().__init__()
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1


class Kept(Counter):
    def get_state(self):
        return {"steps": self.steps}

    def set_state(self, state):
        self.steps = state["steps"]


def test_callbacks_of_the_user(tmp_path, capsys):
    fit(build(OPT.SGD()), tmp_path, [Kept(), Counter(), Kept()], stop_at=3)
    again = Kept(), Counter(), Kept()
    fit(build(OPT.SGD()), tmp_path, again)
    assert "after step 3. These callbacks begin anew: ['Score', 'Counter']" in (
        capsys.readouterr().out
    )
    assert [x.steps for x in again] == [EPOCHS * STEPS, EPOCHS * STEPS - 3, 8]


class Resets(Kept):
    """Forgets when training begins, as Keras' own do; its state is a list."""

    def on_train_begin(self, logs=None):
        self.steps = 0

    def get_state(self):
        return [self.steps]

    def set_state(self, state):
        (self.steps,) = state


def test_states_of_any_kind_and_callbacks_that_forget(tmp_path):
    def callbacks():
        return Resets(), mv.callbacks.MetricsCSV(tmp_path / "metrics.csv")

    fit(build(OPT.SGD()), tmp_path / "run", callbacks(), stop_at=5)
    again, metrics = callbacks()
    fit(build(OPT.SGD()), tmp_path / "run", [again, metrics])
    assert again.steps == EPOCHS * STEPS and len(metrics.rows) == EPOCHS


def test_callbacks_that_come_and_go_are_named(tmp_path, capsys):
    def stop(monitor, mode):
        return K.EarlyStopping(monitor, mode=mode, patience=9)

    two = [stop("loss", "min"), stop("score", "max")]
    fit(build(OPT.SGD(0.1)), tmp_path, two, stop_at=5)
    one, new = stop("score", "max"), plateau()
    fit(build(OPT.SGD(0.1)), tmp_path, [one, new])
    assert one.best == 0.9 and new.best == 0.5
    assert (
        "begin anew: ['Score', 'ReduceLROnPlateau']. Callbacks of the checkpoint that "
        "are not there: ['EarlyStopping(loss, min) 0']" in capsys.readouterr().out
    )


def test_a_model_that_has_been_trained_goes_on(tmp_path):
    """As in a notebook, where a callback has changed the learning rate."""
    halve = CALLBACKS["LearningRateScheduler"]
    model = build(averaged())
    fit(model, tmp_path / "parts", halve(), stop_at=5)
    parts = fit(model, tmp_path / "parts", halve())
    whole = fit(build(averaged()), tmp_path / "whole", halve())
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    model.optimizer.learning_rate = 0.3
    with pytest.raises(ValueError, match="learning_rate: 0.1 there, 0.3 here"):
        fit(model, tmp_path / "parts", halve())


def test_what_a_callback_sets_at_the_start_does_not_replace_the_checkpoint(tmp_path):
    def pretrained():
        model = build(OPT.SGD(0.1))

        def load(logs):
            helpers.set_numbered_weights(model.encoder, seed=7)

        return model, [K.LambdaCallback(on_train_begin=load)]

    model, callbacks = pretrained()
    whole = fit(model, tmp_path / "whole", callbacks)
    for stop_at in (3, None):
        model, callbacks = pretrained()
        parts = fit(model, tmp_path / "parts", callbacks, stop_at)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_best_weights_of_any_type(tmp_path):
    stop = CALLBACKS["EarlyStopping, never"]
    fit(build(OPT.SGD(0.1), policy="bfloat16"), tmp_path, stop(), stop_at=5)
    fit(build(OPT.SGD(0.1), policy="bfloat16"), tmp_path, stop())


def test_a_checkpoint_stops_once(tmp_path):
    model, checkpoint = build(OPT.SGD(0.1)), mv.callbacks.Checkpoint(tmp_path)

    def train():
        mv.training.fit(
            model,
            lambda step: mv.data.batches(IMAGES, BATCH, start_step=step),
            *(EPOCHS, STEPS, checkpoint),
            verbose=0,
        )

    checkpoint.stop = "the test"
    with pytest.raises(mv.training.Interrupted):
        train()
    train()
    assert checkpoint.step == EPOCHS * STEPS


def test_another_monitor_finds_its_own_best(tmp_path):
    model = build(OPT.SGD(0.1))
    fit(model, tmp_path, stop_at=5)
    for monitor, best in (("val_accuracy", None), ("score", [0.1, STEPS])):
        checkpoint = mv.callbacks.Checkpoint(tmp_path, monitor=monitor)
        checkpoint.restore(model, STEPS)
        assert checkpoint._best == best  # The lowest score is best.


@pytest.mark.filterwarnings("ignore:`extra`")
def test_made_up_settings_are_equal():
    def settings():
        views = mv.views.RandomViews(
            AUGMENTATION, 2, extra=[keras.layers.RandomCrop(SIZE, SIZE)]
        )
        model = build(OPT.SGD(0.1))
        model = mv.MultiViewModel(model.encoder, model.projector, views)
        model.compile(OPT.SGD(0.1))
        return training_settings(model)

    known = settings()
    refuse_others(known, known, settings(), "here")


def test_callbacks_that_are_new_begin_anew(tmp_path):
    fit(build(OPT.SGD(0.1)), tmp_path, stop_at=3)
    fit(build(OPT.SGD(0.1)), tmp_path, [plateau(), Kept()])


def one_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_pred))


OTHER_SETTINGS = {
    "optimizer.learning_rate: 0.1": lambda: build(OPT.SGD(0.2)),
    "optimizer.learning_rate: 0.1 there, CosineDecay": lambda: build(
        OPT.SGD(OPT.schedules.CosineDecay(0.1, 100))
    ),
    "optimizer.momentum": lambda: build(OPT.SGD(0.1, momentum=0.9)),
    "optimizer.class_name": lambda: build(OPT.Adam(0.1)),
    "loss.beta": lambda: build(OPT.SGD(0.1), mv.losses.BarlowTwins(0.5)),
    "loss: .* there, .*function one_loss": lambda: build(OPT.SGD(0.1), one_loss),
    "loss.class_name": lambda: build(OPT.SGD(0.1), mv.losses.VICReg()),
    "model.views.views: 2 there, 3 here": lambda: build(OPT.SGD(0.1), views=3),
    "model.*dtype": lambda: build(OPT.SGD(0.1), policy="mixed_bfloat16"),
    r"model.encoder.layers\[1\].scale": lambda: build(OPT.SGD(0.1), scale=1 / 128),
}


@pytest.mark.parametrize("problem", OTHER_SETTINGS)
def test_other_settings_are_refused_by_name(tmp_path, problem):
    fit(build(OPT.SGD(0.1)), tmp_path, [plateau()], stop_at=7)
    with pytest.raises(ValueError, match=f"Received: {problem}.*checkpoint="):
        fit(OTHER_SETTINGS[problem](), tmp_path, [plateau()])


def test_names_and_losses_without_a_config_are_no_settings(tmp_path):
    fit(build(OPT.SGD(0.1), one_loss), tmp_path, stop_at=3)
    keras.layers.Dense(1)  # Keras now makes up other names.
    fit(build(OPT.SGD(0.1, name="mine"), one_loss), tmp_path)


@pytest.mark.slow
def test_another_backend_goes_on(tmp_path):
    here = keras.backend.backend()
    whole = fit(build(OPT.SGD(0.1)), tmp_path / "whole")
    for other in {"tensorflow", "jax", "torch"} - {here}:
        if importlib.util.find_spec(other) is None:
            continue
        folder = tmp_path / other
        script = helpers.ROOT / "tests/programs/one_epoch.py"
        ran = helpers.run_script(script, folder, backend=other)
        assert ran.returncode == 0, ran.stderr
        with pytest.warns(match=f"began on {other} and goes on on {here}"):
            there = fit(build(OPT.SGD(0.1)), folder)
        for one, two in zip(whole, there, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-3, atol=2e-4)
