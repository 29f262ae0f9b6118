"""Set-up of training on several devices, with the backend's own engine."""

import contextlib
import logging
import os

import keras

from keras_mvssl._internal import signals
from keras_mvssl.distribution import launch
from keras_mvssl.distribution import loopback
from keras_mvssl.distribution.job import replicas

CALL_FIRST = "Call `data_parallel` before anything is computed or built."


def data_parallel(devices: int | None = None) -> None:
    """Set up training on several devices, with the same result as on one device.

    Call this function once, before any model is built. `batch_size` remains the size of
    the whole batch, and each device gets an equal part of every batch. Losses, batch
    normalisation and views see the same data as on one device, so that the weights come
    out the same.

    - JAX: `keras.distribution.DataParallel`, on several machines if
      `KERAS_DISTRIBUTION_NUM_PROCESSES` and its companions are set.
    - TensorFlow: `tf.distribute.MirroredStrategy`, or `MultiWorkerMirroredStrategy` on
      several machines if `TF_CONFIG` is set.
    - PyTorch: `torch.distributed`, with one process for each device. A script that
      `torchrun` has not started is started again, once for each device, and this
      function does not return in the first process. Each process runs the whole
      script, so write files and print only if `is_chief()`.

    On a CPU, devices are virtual (JAX, TensorFlow) or processes (PyTorch), for trying
    things out.

    Args:
        devices: int. Number of devices of this machine. Defaults to all accelerators,
            or to one CPU if there are none (with JAX, to all virtual CPUs that JAX is
            configured to have).

    Raises:
        ValueError: If there are fewer devices, an earlier call took another number of
            devices, or TensorFlow runs on a TPU.

    Example:
    ```python
    keras_mvssl.distribution.data_parallel()
    views = keras_mvssl.views.KerasCVViews(augmentation, views=4)
    model = keras_mvssl.MultiViewModel(encoder, projector)
    model.compile(optimizer="adam", loss=keras_mvssl.losses.BarlowTwins())
    model.fit(keras_mvssl.data.multiview(images, views, batch_size=1024), epochs=10)
    ```
    """
    if devices is not None and (not isinstance(devices, int) or devices < 1):
        raise ValueError(
            f"`devices` must be an int of at least 1. Received: devices={devices}"
        )
    known = replicas()
    if keras.backend.backend() != "torch" and known > 1:
        if devices not in (None, known):
            raise ValueError(
                f"An earlier call of `data_parallel` has taken {known} devices, and "
                f"their number cannot change. Received: devices={devices}"
            )
        return
    start = {"jax": _on_jax, "tensorflow": _on_tensorflow, "torch": _on_torch}
    start[keras.backend.backend()](devices)


def check_batch(batch_size):
    """Check that the devices can share a batch equally; raise ValueError otherwise."""
    count = replicas()
    if count > 1 and (batch_size % count or batch_size // count < 2):
        raise ValueError(
            f"`batch_size` must be a multiple of the {count} devices that share a "
            "batch, and give each of them at least 2 images. "
            f"Received: batch_size={batch_size}"
        )


def _check_count(devices, found, kind):
    if devices > found:
        raise ValueError(
            f"There are {found} devices ({kind}). Received: devices={devices}"
        )


def _on_jax(devices):
    import jax

    if "KERAS_DISTRIBUTION_NUM_PROCESSES" in os.environ:
        with signals.heard_again():  # JAX takes SIGTERM, for a service of its own.
            loopback.start_jax_processes()
    if devices is not None:
        # If JAX has started, the number of devices cannot change any more.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", devices)
    names = keras.distribution.list_devices()
    if devices is not None and jax.process_count() == 1:
        kind = jax.devices()[0].device_kind
        if devices > len(names) and jax.default_backend() == "cpu":
            raise ValueError(
                f"JAX has started with {len(names)} devices. {CALL_FIRST} "
                f"Received: devices={devices}"
            )
        _check_count(devices, len(names), kind)
        names = names[:devices]
    if len(names) == 1:
        return
    if jax.process_count() == 1:
        loopback.stay_on_loopback()
    # Keras must not split the data: every process reads its own part, see `processes`.
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
    )


def _on_tensorflow(devices):
    import tensorflow as tf

    refuse_keras_distribution()
    if tf.config.list_physical_devices("TPU"):
        raise ValueError(
            "TensorFlow's last release for TPUs is 2.19. Use JAX: set "
            "KERAS_BACKEND=jax. Received: the backend tensorflow on a TPU"
        )
    if "TF_CONFIG" in os.environ:
        if devices is not None:
            raise ValueError(
                "With `TF_CONFIG`, all devices of each machine take part. Leave "
                f"`devices` out. Received: devices={devices}"
            )
        from keras_mvssl.distribution import multi_worker

        # It waits for the other workers, and lets no other Python thread run meanwhile.
        with signals.left_to_the_system():
            strategy = multi_worker.strategy()
        if strategy.num_replicas_in_sync > 1:
            tf.distribute.experimental_set_strategy(strategy)
        return
    gpus = tf.config.list_physical_devices("GPU")
    count = devices or max(1, len(gpus))
    if count == 1:
        return
    loopback.stay_on_loopback()
    kind = "GPU" if gpus else "CPU"
    if gpus:
        _check_count(count, len(gpus), "GPUs")
    else:
        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        try:
            tf.config.set_logical_device_configuration(cpu, parts)
        except RuntimeError as error:
            if len(tf.config.list_logical_devices("CPU")) < count:
                raise ValueError(
                    f"TensorFlow has started with fewer devices. {CALL_FIRST} "
                    f"Received: devices={devices}"
                ) from error
    # By default, TensorFlow logs every exchange that it plans.
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    names = [f"{kind}:{i}" for i in range(count)]
    tf.distribute.experimental_set_strategy(tf.distribute.MirroredStrategy(names))


def _on_torch(devices):
    import torch
    import torch.distributed as dist

    gpus = torch.cuda.device_count()
    if devices is not None and gpus:
        _check_count(devices, gpus, "GPUs")
    if dist.is_initialized():
        return
    if not launch.is_worker():
        count = devices or max(1, gpus)
        if count > 1:
            launch.start(count)
        return
    here = launch.join()
    if devices not in (None, here):
        raise ValueError(
            f"{here} processes have been started on this machine, by torchrun or by an "
            f"earlier call of `data_parallel`. Received: devices={devices}"
        )


def refuse_keras_distribution():
    """Raise ValueError if `keras.distribution` is set and would silently do nothing."""
    if keras.backend.backend() == "jax":
        return
    if keras.distribution.distribution() is not None:
        raise ValueError(
            "`keras.distribution` works only on JAX; on this backend it does nothing. "
            "Use `keras_mvssl.distribution.data_parallel()`. "
            f"Received: backend {keras.backend.backend()!r}"
        )
