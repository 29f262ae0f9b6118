"""Entries of logs that are no numbers end no training."""

import csv
import decimal
import fractions

import keras
import numpy as np
import pytest

import keras_mvssl as mv
from keras_mvssl.callbacks.lazy_logs import LazyLogs
from keras_mvssl.callbacks.lazy_logs import number

NO_NUMBERS = {
    "per_class": np.array([0.1, 0.2]),
    "stage": "warm-up",
    "digits": np.array("0.5"),
    "day": np.datetime64("2020-01-01", "D"),
    "none": None,
    "list": [1.0],
    "group": {"a": 1.0},
    "complex": 1j,
    "huge": 10**400,
    "symbol": keras.KerasTensor(()),
}
NUMBERS = {
    "bool": True,
    "half": np.float16(0.5),
    "truth": np.bool_(True),
    "scalar": np.array(2),
    "fraction": fractions.Fraction(1, 2),
    "nan": float("nan"),
    "large": 1e300,
}


def test_what_is_a_number():
    tensor = keras.ops.convert_to_tensor
    with_tensors = NUMBERS | {
        "tensor": tensor(1.5),
        "bfloat16": keras.ops.cast(tensor(1.5), "bfloat16"),
        "variable": keras.Variable(1.5),
    }
    assert all(type(number(x)) is float for x in with_tensors.values())
    without = [*NO_NUMBERS.values(), tensor([1.0, 2.0]), decimal.Decimal(1)]
    assert [number(x) for x in without] == [None] * len(without)


class Note(keras.callbacks.Callback):
    """Adds entries to the logs, at each step too."""

    def on_train_batch_end(self, batch, logs=None):
        logs.update(NO_NUMBERS)

    def on_epoch_end(self, epoch, logs=None):
        logs.update(NO_NUMBERS | NUMBERS)


def train(model, images, folder, others):
    layer = mv.views.RandomViews(mv.views.Augmentation(size=12), 2)
    model = mv.MultiViewModel(model.encoder, model.projector, layer)
    model.compile(keras.optimizers.SGD(0.01))
    checkpoint = mv.callbacks.Checkpoint(folder / "checkpoint")
    return mv.training.fit(
        model,
        lambda step: mv.data.batches(images, 4, start_step=step),
        2,
        2,
        checkpoint,
        others,
        verbose=1,
    )


def test_a_training_goes_on_with_entries_of_any_kind(model, images, tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    metrics = mv.callbacks.MetricsCSV(tmp_path / "metrics.csv")
    others = [Note(), mv.callbacks.Throughput(8), mv.callbacks.StopOnDivergence()]
    others += [metrics, mv.callbacks.TensorBoard(tmp_path)]
    with pytest.warns(match="columns of numbers. Left out: complex, day") as told:
        train(model, images, tmp_path, others)
    assert len([x for x in told if "Left out" in str(x.message)]) == 1
    with open(tmp_path / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and rows[0]["half"] == "0.5" and rows[0]["bool"] == "1.0"
    events = EventAccumulator(str(tmp_path)).Reload()
    columns, tags = set(rows[0]) - {"epoch"}, set(events.Tags()["scalars"])
    assert columns == tags and not columns & set(NO_NUMBERS)
    assert "fraction" in columns and "loss:" in capsys.readouterr().out


def test_the_best_is_told_by_a_number(model, tmp_path):
    model.optimizer.build(model.trainable_variables)

    def end_epochs(monitor, *values):
        checkpoint = mv.callbacks.Checkpoint(tmp_path, monitor=monitor)
        checkpoint.set_model(model)
        checkpoint.set_params({"steps": 1, "epochs": 9})
        for epoch, value in enumerate(values):
            checkpoint.on_epoch_begin(epoch)
            checkpoint.on_epoch_end(epoch, {monitor: value})
        return checkpoint._best

    for value in ("warm-up", np.array([1.0, 2.0]), [1.0]):
        with pytest.raises(ValueError, match="`monitor` must .*Received: monitor='a'"):
            end_epochs("a", value)
    # Without a value there is no best one, and nothing is compared with NaN.
    assert end_epochs("loss", None, float("nan"), np.float32(2.0), 3.0) == [2.0, 3]


def test_lazy_logs_of_several_numbers():
    values = {"f1": keras.ops.convert_to_tensor([0.25, 0.5]), "loss": np.float32(2)}
    logs = LazyLogs(values | {"stage": "warm-up"})
    np.testing.assert_array_equal(logs["f1"], [0.25, 0.5])
    assert type(logs["loss"]) is float and logs["stage"] == "warm-up"


@pytest.mark.parametrize("loss", [None, "low", np.array([1.0, 2.0])])
def test_divergence_is_not_looked_for_where_there_is_no_loss(loss):
    watch = mv.callbacks.StopOnDivergence()
    watch.on_epoch_begin(0)
    watch.on_train_batch_end(0, {} if loss is None else {"loss": loss})
