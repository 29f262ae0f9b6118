"""What only shows after long, or on settings nobody thought of."""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

import helpers
from keras_mvssl import training
from keras_mvssl.callbacks import checkpoint_store

LONG_RUN = helpers.ROOT / "tests/programs/long_run.py"


@pytest.mark.release
@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="It needs Linux.")
def test_two_hundred_epochs_take_no_more_memory_than_fifty(tmp_path):
    run = helpers.run_python(LONG_RUN, tmp_path, backend=keras.backend.backend())
    assert run.returncode == 0, run.stderr
    used = json.loads(run.stdout.splitlines()[-1])
    assert len(used) == 200
    # A leak of a batch of views in each epoch would be 100 MB.
    assert max(used[150:]) - max(used[:50]) < 30e6, used[::25]


NUMBERS = st.one_of(
    st.integers(-3, 10),
    st.floats(-1, 20),
    st.sampled_from([float("nan"), float("inf"), 1e30, "x"]),
)
FIELDS = sorted(
    field.name
    for field in dataclasses.fields(training.Recipe)
    if field.name not in ("dataset", "augmentation", "data_dir", "devices")
)


@given(st.dictionaries(st.sampled_from(FIELDS), NUMBERS, min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_any_setting_is_taken_or_refused_by_name(changes):
    try:
        recipe = training.Recipe(dataset="shapes", **changes)
        recipe.check()
    except ValueError as error:
        assert any(f"Received: {name}=" in str(error) for name in changes), error


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype="uint8")
    path = tmp_path_factory.mktemp("data") / "x.npz"
    np.savez(path, x_train=images)
    return f"npz:{path}"


@pytest.mark.slow
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "views": st.integers(1, 4),
            "batch_size": st.integers(1, 9),
            "projector_dim": st.integers(0, 9),
            "steps_per_epoch": st.integers(0, 3),
            "accumulate": st.integers(1, 3),
            "warmup_epochs": st.floats(-0.1, 3),
            "precision": st.sampled_from(["float32", "bfloat16", "float16"]),
            "optimizer": st.sampled_from(["adamw", "lars", "sgd"]),
            "beta": st.sampled_from([None, "auto", 0, -1, 0.5, float("inf")]),
            "pairing": st.sampled_from(["mean", "all", "some"]),
            "fraction": st.floats(0, 1.1),
        },
    )
)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_any_run_ends_well_or_is_refused_with_its_reason(npz, tmp_path_factory, given):
    workdir = tmp_path_factory.mktemp("runs") / "run"
    base = dict(backbone="tiny", projector_dim=4, epochs=1, batch_size=4, views=2)
    try:
        recipe = training.Recipe(
            dataset=npz, augment="device", **{**base, "steps_per_epoch": 1, **given}
        )
        results = training.run(recipe, workdir)
        assert np.isfinite(results["loss_final"])
    except ValueError as error:
        assert "Received: " in str(error), error
        assert not workdir.exists()


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_bytes_as_a_configuration_are_refused(tmp_path_factory, content):
    workdir = tmp_path_factory.mktemp("run")
    (workdir / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match="Received: "):
        training.run(training.Recipe(dataset="shapes"), workdir)


@given(st.binary(max_size=200), st.sampled_from(["manifest.json", "x", None]))
@settings(max_examples=50, deadline=None)
def test_any_bytes_as_a_checkpoint_are_damage(tmp_path_factory, content, name):
    folder = checkpoint_store.Folder(tmp_path_factory.mktemp("checkpoint"))
    folder.save(1, lambda path: (path / "x").write_bytes(b"whole"))
    folder.save(2, lambda path: (path / "x").write_bytes(b"whole"))
    damaged = folder.latest()
    if name is None:
        (damaged / "manifest.json").write_text(json.dumps({"format": str(content)}))
    else:
        (damaged / name).write_bytes(content)
    if content == b"whole" and name == "x":
        return
    with pytest.warns(match="is damaged"):
        assert folder.latest().name == "step-000000001"
