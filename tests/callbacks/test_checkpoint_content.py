"""Checkpoints that anyone may have written."""

import json
import warnings

import numpy as np
import pytest

import helpers
import keras_mvssl as mv
from keras_mvssl.callbacks import Checkpoint

STATE = {"step": 0, "steps_per_epoch": 1, "is_over": False, "best": None}
STATE |= {"stream_version": mv.stream_version, "number_of_metrics": 0}


@pytest.mark.parametrize("value", helpers.JSON_VALUES, ids=lambda x: f"{x!r:.9}")
def test_a_checkpoint_of_any_type_is_refused_by_name(tmp_path, model, value):
    rows = mv.callbacks.MetricsCSV(tmp_path / "metrics.csv")
    speed = mv.callbacks.Throughput(1)
    checkpoint = Checkpoint(tmp_path / "c", state={"rows": rows, "speed": speed})
    speed_state = speed.get_state()
    right = STATE | {"state": {"rows": [], "speed": speed_state}}
    model.optimizer.build(model.trainable_variables)

    def restore(content):
        def write(path):
            model.save(path / "model.keras")
            np.savez(path / "state.npz")
            (path / "state.json").write_text(json.dumps(content))

        checkpoint.folder.save(0, write)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return checkpoint.restore(model, 1)

    wrong = [value, right | {"state": value}]
    wrong += [right | {name: value} for name in ("best", "number_of_metrics", "step")]
    states = {"rows": [[value], [{"epoch": value}]]}
    states["speed"] = [value, speed_state | {"of_epoch": value}]
    for name, others in states.items():
        wrong += [right | {"state": right["state"] | {name: x}} for x in others]
    for content in wrong[:: 1 if value == helpers.NASTY else 4]:
        try:
            restore(content)
        except ValueError as error:
            assert str(tmp_path / "c/step-000000000") in str(error)
        values = [x for row in rows.rows for x in row.values()]
        assert {type(x) for x in values} <= {int, float}
