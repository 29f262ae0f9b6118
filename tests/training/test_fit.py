import csv
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
from unittest import mock

import keras
import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl.callbacks import checkpoint_store
from keras_mvssl.callbacks.lazy_logs import LazyLogs

# The package has a function of this name.
FIT = importlib.import_module("keras_mvssl.training.fit")
EPOCHS, STEPS, BATCH, SIZE = 2, 4, 8, 12
AUGMENTATION = mv.views.Augmentation(size=SIZE)


class After(keras.callbacks.Callback):
    """Does something after some steps of a training."""

    def __init__(self, step, action):
        super().__init__()
        self.step, self.action = step, action

    def on_train_begin(self, logs=None):
        self.seen = 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.step:
            assert self.model  # JAX's state is put into the model when asked for it.
            self.action()


class Training:
    """A training that can run, be interrupted, and be continued by another object."""

    def __init__(self, folder, images, on_device=True, precision="float32", **options):
        keras.utils.set_random_seed(1)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        encoder = keras.Sequential(
            [
                keras.Input((SIZE, SIZE, 3)),
                keras.layers.Rescaling(1 / 128, offset=-1),
                keras.layers.Conv2D(8, 4, strides=4),
                keras.layers.BatchNormalization(),
                keras.layers.Dropout(0.2),
                keras.layers.GlobalAveragePooling2D(),
            ]
        )
        self.callbacks = []
        extra = [keras.layers.RandomErasing(0.7)] if options.pop("erase", 0) else []
        if extra:  # It looks at views, and must not use up their numbers.
            self.callbacks.append(mv.callbacks.ViewGallery(images))
        views = mv.views.RandomViews(AUGMENTATION, 2, extra=extra)
        views = views if on_device else None
        self.model = mv.MultiViewModel(encoder, mv.models.Projector(8, dim=4), views)
        keras.config.set_dtype_policy(before)
        accumulate = options.pop("accumulate", None)
        rate = options.pop("rate", mv.optimizers.warmup_cosine(0.01, EPOCHS * STEPS, 3))
        optimizer = keras.optimizers.AdamW(rate, gradient_accumulation_steps=accumulate)
        self.model.compile(optimizer, mv.losses.BarlowTwins(0.1))
        self.model.optimizer.build(self.model.trainable_variables)
        self.on_device, self.images = on_device, images
        self.csv = mv.callbacks.MetricsCSV(folder / "metrics.csv")
        self.throughput = mv.callbacks.Throughput(2 * BATCH)
        state = {"csv": self.csv, "throughput": self.throughput}
        self.checkpoint = mv.callbacks.Checkpoint(
            folder / "checkpoint", state=state, **options
        )

    def make_stream(self, step):
        if self.on_device:
            return mv.data.batches(self.images, BATCH, start_step=step)
        views = mv.views.KerasCVViews(AUGMENTATION, 2)
        return mv.data.multiview(self.images, views, BATCH, start_step=step)

    def stop(self):
        self.checkpoint.stop = "a test"

    def fit(self, *callbacks):
        others = [self.throughput, mv.callbacks.StopOnDivergence()]
        others += [*self.callbacks, *callbacks]
        return mv.training.fit(
            self.model,
            self.make_stream,
            EPOCHS,
            STEPS,
            self.checkpoint,
            [*others, self.csv],
            verbose=0,
        )

    def steps(self):
        return self.checkpoint.folder.steps()


@pytest.fixture
def images():
    shape = (STEPS * BATCH, SIZE, SIZE, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")


def rows(training):
    with open(training.csv.path) as file:
        return [
            {k: v for k, v in row.items() if "second" not in k}
            for row in csv.DictReader(file)
        ]


def assert_same(one, other):
    for a, b in zip(
        [*helpers.weights_of(one.model), *map(np.array, one.model.optimizer.variables)],
        [
            *helpers.weights_of(other.model),
            *map(np.array, other.model.optimizer.variables),
        ],
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert rows(one) == rows(other)
    assert len(rows(one)) == EPOCHS


@pytest.mark.parametrize(
    "stops, settings",
    [
        ((3, 1, 4), dict()),  # after steps 3, 4 and 8
        pytest.param((1, 2, 4), dict(on_device=False), marks=pytest.mark.slow),
        pytest.param((3, 2), dict(erase=True), marks=pytest.mark.slow),
        pytest.param(
            (3, 2),
            dict(precision="mixed_float16", accumulate=2),
            marks=pytest.mark.slow,
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*random state of its own")
def test_goes_on_as_if_it_had_not_stopped(tmp_path, images, stops, settings):
    whole = Training(tmp_path / "whole", images, **settings)
    whole.fit()
    folder = tmp_path / "stopped"
    done = 0
    for stop in stops:
        part = Training(folder, images, **settings)
        with pytest.raises(mv.training.Interrupted) as raised:
            part.fit(After(stop, part.stop))
        assert part.checkpoint.step == raised.value.step == done + stop
        assert raised.value.saved and raised.value.code == 75
        done += stop
    last = Training(folder, images, **settings)
    assert last.fit() == done
    assert_same(whole, last)
    # Nothing is left to do: nothing changes.
    again = Training(folder, images, **settings)
    assert again.fit() == EPOCHS * STEPS
    assert_same(whole, again)


KILLED_AFTER_STEP_8 = """
import os, pathlib, signal, sys
import numpy as np
from training.test_fit import After, Training

folder = pathlib.Path(sys.argv[1])
killed = Training(folder, np.load(folder / "images.npy"), steps=3)
killed.fit(After(8, lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""


def test_a_kill_repeats_the_steps_since_the_last_checkpoint(tmp_path, images):
    whole = Training(tmp_path / "whole", images, steps=3)
    whole.fit()
    folder = tmp_path / "killed"
    folder.mkdir()
    np.save(folder / "images.npy", images)
    killed = helpers.run_script("-c", KILLED_AFTER_STEP_8, folder)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = Training(folder, images, steps=3)
    assert len(rows(last)) == 1  # The second epoch was not written down.
    assert last.fit() == 6
    assert_same(whole, last)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_signals_stop_after_the_step(tmp_path, images, number):
    before = signal.getsignal(number)
    training = Training(tmp_path, images)
    with pytest.raises(mv.training.Interrupted) as raised:
        training.fit(After(2, lambda: signal.raise_signal(number)))
    assert (raised.value.reason, raised.value.step) == (signal.Signals(number).name, 2)
    assert training.steps()[-1] == 2
    assert signal.getsignal(number) is before


def test_a_signal_after_the_last_step_stops_too(tmp_path, images):
    class Late(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            signal.raise_signal(signal.SIGTERM)

    training = Training(tmp_path, images)
    with pytest.raises(mv.training.Interrupted) as raised:
        training.fit(Late())
    assert (raised.value.step, raised.value.saved) == (EPOCHS * STEPS, True)
    assert Training(tmp_path, images).fit() == EPOCHS * STEPS


def test_a_full_disk_is_a_warning(tmp_path, images, monkeypatch):
    training = Training(tmp_path, images, steps=1)
    flush = checkpoint_store.flush_to_disk

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill():
        monkeypatch.setattr(checkpoint_store, "flush_to_disk", full)

    def free():
        monkeypatch.setattr(checkpoint_store, "flush_to_disk", flush)

    with pytest.warns(match="could not be saved; training goes on.*No space left"):
        training.fit(After(2, fill), After(6, free))
    assert training.steps() == [7, 8]
    assert not list(training.checkpoint.folder.path.glob(".*"))


@pytest.mark.slow
def test_stopped_while_the_disk_is_full_says_so(tmp_path, images, monkeypatch):
    training = Training(tmp_path, images)

    def stop():
        training.stop()
        monkeypatch.setattr(os, "fsync", lambda handle: os.write(-1, b""))

    with (
        pytest.warns(match="could not be saved"),
        pytest.raises(mv.training.Interrupted) as raised,
    ):
        training.fit(After(3, stop))
    assert not raised.value.saved and training.steps() == [0]


def test_divergence_ends_training_and_keeps_the_last_good_checkpoint(tmp_path, images):
    training = Training(tmp_path, images, steps=1, rate=0.01)

    def break_off():
        variable = training.model.trainable_variables[0]
        variable.assign(np.full(variable.shape, np.nan))

    with pytest.raises(
        mv.callbacks.DivergenceError,
        match="not finite after step 3: .*Try a lower .*Received: ",
    ):
        training.fit(After(3, break_off))
    assert training.steps() == [1, 2]
    latest = training.checkpoint.folder.latest()
    model = keras.saving.load_model(latest / "model.keras")
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_a_loss_that_is_not_finite_is_named_with_its_step(tmp_path, images):
    training = Training(tmp_path, images, rate=0.01)

    class Broken(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(y_pred, axis=(0, 1)) * np.nan

    training.model.compile("sgd", Broken())
    training.model.optimizer.build(training.model.trainable_variables)
    with pytest.raises(
        mv.callbacks.DivergenceError,
        match="not finite after step 1, at a learning rate of 0.01.*Received: loss=nan",
    ):
        training.fit()
    assert training.steps() == [0]


def test_a_loss_seen_late_is_named_with_its_step(tmp_path, images, monkeypatch):
    monkeypatch.setattr(FIT, "LOG_INTERVAL", np.inf)
    training = Training(tmp_path, images, rate=0.01)
    kept = []

    class Keep(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kept.append(dict(logs))

    def break_off():
        variable = training.model.trainable_variables[0]
        variable.assign(np.full(variable.shape, np.nan))

    with pytest.raises(mv.callbacks.DivergenceError) as raised:
        training.fit(After(STEPS + 2, break_off), Keep())
    said = str(raised.value)
    assert f"after step {STEPS + 3}, " in said
    assert f"before it: invariance {kept[STEPS + 1]['invariance']:.4g}" in said
    assert len(kept) == 2 * STEPS - 1  # It was looked at in the last step.


def test_logs_are_fetched_now_and_then(tmp_path, images, monkeypatch):
    monkeypatch.setattr(FIT, "LOG_INTERVAL", np.inf)
    fetched, shown = [], []
    fetch = LazyLogs.fetch

    def spy(logs):
        if not logs._fetched:
            fetched.append(logs)
        fetch(logs)

    class Lazy(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            shown.append(isinstance(logs, LazyLogs))

    monkeypatch.setattr(LazyLogs, "fetch", spy)
    training = Training(tmp_path, images, steps=3)
    training.fit(Lazy())
    # Before a checkpoint, and in the last step of an epoch.
    looks = [not step % 3 or not step % STEPS for step in range(1, 9)]
    assert shown == [not x for x in looks]
    assert len(fetched) == sum(looks)
    assert training.steps()[-1] == EPOCHS * STEPS


@pytest.mark.parametrize("seconds, updates", [(0.0, EPOCHS * STEPS), (np.inf, EPOCHS)])
def test_the_progress_bar_moves_when_logs_are_there(
    tmp_path, images, monkeypatch, seconds, updates
):
    monkeypatch.setattr(FIT, "LOG_INTERVAL", seconds)
    spy = mock.Mock()
    bar = keras.callbacks.ProgbarLogger
    monkeypatch.setattr(bar, "on_train_batch_end", lambda self, *a, **k: spy(*a, **k))
    training = Training(tmp_path, images)
    arguments = training.model, training.make_stream, EPOCHS, STEPS
    mv.training.fit(
        *arguments, training.checkpoint, [training.csv, training.throughput]
    )
    assert spy.call_count == updates
    assert set(spy.call_args[0][1]) == {"loss", "invariance", "redundancy"}


def test_logs_of_a_step_are_numbers(tmp_path, images, monkeypatch):
    monkeypatch.setattr(FIT, "LOG_INTERVAL", np.inf)
    seen = []

    class Writer(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            logs["phase"] = "warm-up"

    class Reader(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            first = {**logs} if batch % 2 else json.loads(json.dumps(logs))
            assert first == dict(logs) == dict(logs.items())
            assert first["loss"] == logs["loss"] == logs.get("loss")
            assert list(logs.values()) == list(first.values())
            assert "tensor" not in str(logs).lower()
            seen.append(first)

    Training(tmp_path, images).fit(Writer(), Reader())
    assert len(seen) == EPOCHS * STEPS
    for logs in seen:
        assert logs.pop("phase") == "warm-up"
        assert set(logs) == {"loss", "invariance", "redundancy"}
        assert all(isinstance(x, float) and np.isfinite(x) for x in logs.values())


@pytest.mark.slow
def test_skipped_steps_of_float16_are_counted(tmp_path, images):
    training = Training(tmp_path, images, precision="mixed_float16")
    training.fit()
    (first, last) = (int(float(row["skipped_steps"])) for row in rows(training))
    updates = int(np.array(training.model.optimizer.iterations))
    assert 0 <= first <= last and last == EPOCHS * STEPS - updates


def test_the_best_is_kept(tmp_path, images):
    training = Training(tmp_path, images, keep=1, monitor="probe_accuracy")

    class Probe(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["probe_accuracy"] = 0.5 - 0.1 * epoch

    training.fit(Probe())
    assert training.steps() == [STEPS, EPOCHS * STEPS]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping nested container")  # it is another model
def test_another_model_is_refused(tmp_path, images):
    Training(tmp_path, images).fit()
    other = Training(tmp_path, images)
    encoder = mv.models.TinyResNet((SIZE, SIZE, 3))
    other.model = mv.MultiViewModel(encoder, mv.models.Projector(128, dim=4))
    other.model.compile("sgd")
    other.model.optimizer.build(other.model.trainable_variables)
    with pytest.raises(ValueError, match="other settings.*Received: model.encoder"):
        other.fit()


@pytest.mark.slow
def test_another_optimizer_is_refused(tmp_path, images):
    Training(tmp_path, images).fit()
    other = Training(tmp_path, images)
    other.model.compile("sgd")
    other.model.optimizer.build(other.model.trainable_variables)
    with pytest.raises(ValueError, match="other settings.*Received: optimizer"):
        other.fit()


def test_after_a_fallback_what_is_damaged_does_not_count(tmp_path, images):
    """Else new checkpoints, of lower steps, would be removed before the damaged."""
    first = Training(tmp_path, images, steps=2, monitor="probe_accuracy")
    first.fit()
    assert first.steps() == [6, 8]
    (first.checkpoint.folder._path_of(8) / "state.npz").write_bytes(b"")
    second = Training(tmp_path, images, steps=1, monitor="probe_accuracy")
    with pytest.warns(match="damaged"), pytest.raises(mv.training.Interrupted):
        second.fit(After(1, second.stop))
    assert second.steps() == [6, 7]
    third = Training(tmp_path, images)
    assert third.fit() == 7


@pytest.mark.slow
def test_a_new_best_that_cannot_be_saved_does_not_replace_the_old(
    tmp_path, images, monkeypatch
):
    training = Training(tmp_path, images, keep=1, monitor="probe_accuracy")

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Probe(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["probe_accuracy"] = [0.5, 0.6][epoch]
            if epoch == 1:
                monkeypatch.setattr(checkpoint_store, "flush_to_disk", full)

    with pytest.warns(match="could not be saved"):
        training.fit(Probe())
    assert training.checkpoint._best == [0.5, STEPS] and STEPS in training.steps()


class Enough(keras.callbacks.Callback):
    """Ends training after the first epoch, as EarlyStopping does."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 0


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_training_that_was_ended_early_stays_ended(tmp_path, images, interrupted):
    training = Training(tmp_path, images)
    if interrupted:
        with pytest.raises(mv.training.Interrupted):
            training.fit(After(2, training.stop))
        training = Training(tmp_path, images)
    training.fit(Enough())
    assert len(rows(training)) == 1 and training.steps()[-1] == STEPS
    again = Training(tmp_path, images)
    again.fit()
    assert len(rows(again)) == 1 and again.steps()[-1] == STEPS


def test_refuses_other_epochs_and_states(tmp_path, images):
    training = Training(tmp_path, images)
    training.fit()
    other = Training(tmp_path, images)
    for name, steps, match in (
        ("csv", STEPS + 1, "epochs of 4 steps. Received: steps_per_epoch=5"),
        ("log", STEPS, r"state of \['csv', 'throughput'\]. Received: state=\['log"),
    ):
        other.checkpoint.state = {name: other.csv, "throughput": other.throughput}
        with pytest.raises(ValueError, match=match):
            mv.training.fit(other.model, other.make_stream, 2, steps, other.checkpoint)
    for name in ("epochs", "steps_per_epoch"):
        counts = {"epochs": 2, "steps_per_epoch": STEPS, name: 0}
        with pytest.raises(ValueError, match=f"Received: {name}=0"):
            mv.training.fit(other.model, other.make_stream, **counts, checkpoint=None)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="not on torch")
def test_refuses_executions_that_do_not_fit_an_epoch(tmp_path, images):
    training = Training(tmp_path, images)
    training.model.compile("sgd", steps_per_execution=3)
    with pytest.raises(ValueError, match="multiple of the 3.*steps_per_epoch=4"):
        training.fit()


@pytest.mark.slow
def test_limits_for_trials_are_limits(tmp_path, images, monkeypatch):
    monkeypatch.setattr(keras.config, "max_epochs", lambda: 1)
    monkeypatch.setattr(keras.config, "max_steps_per_epoch", lambda: 3)
    training = Training(tmp_path, images)
    training.fit()
    assert training.steps()[-1] == training.checkpoint.step == 3


@pytest.mark.parametrize(
    "change", [dict(minutes=0), dict(minutes="x"), dict(keep=0), dict(steps=0)]
)
def test_refuses_bad_settings(tmp_path, change):
    ((name, value),) = change.items()
    with pytest.raises(ValueError, match=f"Received: {name}={value!r}"):
        mv.callbacks.Checkpoint(tmp_path, **change)


@pytest.mark.release
def test_kills_at_random_moments(tmp_path):
    kill = helpers.ROOT / "tests/programs/kill.py"
    command = sys.executable, kill, tmp_path, "--kills=2"
    result = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=900
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "came out the same" in result.stdout
