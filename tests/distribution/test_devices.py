"""What is asked for before training, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import helpers
import keras_mvssl as mv
from keras_mvssl import distribution
from keras_mvssl.distribution import parallel

BACKEND = keras.backend.backend()


def test_one_device_needs_nothing():
    distribution.data_parallel(1)
    assert distribution.replicas() == 1 and distribution.processes() == (0, 1)
    assert distribution.is_chief() and distribution.once(lambda: 3) == 3
    x = keras.ops.ones((2, 3))
    assert distribution.gather(x) is x and distribution.average(x) is x
    assert distribution.place_in_batch(2) == (0, 2)


@pytest.mark.parametrize("devices", [0, -1, 1.5, "2"])
def test_devices_are_a_count(devices):
    with pytest.raises(ValueError, match=f"Received: devices={devices}"):
        distribution.data_parallel(devices)


def test_more_devices_than_there_are(monkeypatch):
    if BACKEND == "torch":
        import torch

        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        message = r"There are 1 devices \(GPUs\). Received: devices=2"
    else:
        keras.ops.ones(1)  # Devices are known from here on.
        message = "before anything is computed or built. Received: devices=2"
    with pytest.raises(ValueError, match=message):
        distribution.data_parallel(2)


def test_batches_that_devices_cannot_share(monkeypatch, images, model):
    monkeypatch.setattr(parallel, "replicas", lambda: 4)
    for size in (6, 4):  # not divisible, and one image for each
        with pytest.raises(ValueError, match=f"4 devices.*Received: batch_size={size}"):
            mv.data.batches(images, batch_size=size)
    mv.data.batches(images, batch_size=8)
    monkeypatch.setattr(distribution, "replicas", lambda: 4)
    views = np.stack([images, images], axis=1)
    for use in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match="4 devices.*Received: batch_size=6"):
            use(views, batch_size=6)
    data = tf.data.Dataset.from_tensor_slices(views)
    with pytest.raises(ValueError, match="4 devices.*Received: batch_size=6"):
        model.fit(data.batch(6, drop_remainder=True))
    with pytest.raises(ValueError, match="drop_remainder=True.*Received: x="):
        model.fit(data.batch(8))


def test_arrays_are_refused_where_processes_need_parts(monkeypatch, images, model):
    monkeypatch.setattr(distribution, "processes", lambda: (0, 2))
    with pytest.raises(ValueError, match="own part of the data.*Received: x of type"):
        model.fit(np.stack([images, images], axis=1))


@pytest.mark.skipif(BACKEND == "jax", reason="it is JAX's own")
def test_distribution_of_keras_is_refused(monkeypatch, model):
    monkeypatch.setattr(keras.distribution, "distribution", lambda: "DataParallel")
    with pytest.raises(ValueError, match="`keras_mvssl.distribution.data_parallel"):
        model.compile("sgd")


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's own")
@pytest.mark.parametrize(
    "optimizer, settings, message",
    [
        (dict(clipnorm=1.0), {}, "clipnorm=1.0"),
        (dict(gradient_accumulation_steps=2), {}, "gradient_accumulation_steps=2"),
        ({}, dict(steps_per_execution=2), "steps_per_execution=2"),
        ({}, dict(loss_weights=[0.5]), r"loss_weights=\[0.5\]"),
    ],
)
def test_what_keras_does_too_early(monkeypatch, model, optimizer, settings, message):
    from keras_mvssl.distribution import exchange

    monkeypatch.setattr(exchange, "replicas", lambda: 2)
    with pytest.raises(ValueError, match=f"several devices.*Received: {message}"):
        model.compile(keras.optimizers.SGD(0.1, **optimizer), **settings)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's own")
def test_tensorflow_on_a_tpu_is_refused(monkeypatch):
    def devices(kind):
        return ["a TPU"] if kind == "TPU" else []

    monkeypatch.setattr(tf.config, "list_physical_devices", devices)
    with pytest.raises(ValueError, match="Use JAX: set KERAS_BACKEND=jax"):
        distribution.data_parallel()


@pytest.mark.skipif(BACKEND != "torch", reason="processes are torch's")
def test_processes_that_torch_starts():
    script = helpers.ROOT / "tests/programs/processes_of_torch.py"
    good = helpers.run_script(script)
    assert good.returncode == 0, good.stderr
    assert sorted(good.stdout.split("\n"))[1:] == ["here 0 2 0 2", "here 1 2 0 2"]
    dead = helpers.run_script(script, "die")  # The other would sleep on.
    assert dead.returncode == 1
    assert "Process 1 of 2 ended with code 7; the others were stopped." in dead.stderr
    for end in ("fail", "leave"):
        failed = helpers.run_script(script, end)
        assert failed.returncode == 1 and "ZeroDivisionError" in failed.stderr


@pytest.mark.skipif(BACKEND == "torch", reason="torch starts processes")
def test_devices_are_taken():
    code = (
        "from keras_mvssl import distribution\n"
        "distribution.data_parallel(2)\n"
        "assert distribution.replicas() == 2\n"
    )
    result = helpers.run_script("-c", code)
    assert result.returncode == 0, result.stderr
