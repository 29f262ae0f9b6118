"""One call that trains on several devices, with the backend's own engine."""

import atexit
import contextlib
import logging
import os
import sys
import warnings

import keras

from keras_mvssl.distribution.job import replicas

# The exit code of a training that was asked to stop, and can go on: "temporary failure;
# the user is invited to retry", in sysexits.h.
INTERRUPTED = 75
FIRST = "Call `data_parallel` before anything is computed or built."


def data_parallel(devices: int | None = None) -> None:
    """Lets what follows train on several devices, with the result of one.

    Call it once, before any model is built. Batches are then those of all devices
    together: `batch_size` stays the size of the whole batch, of which each device gets
    an equal part. Losses, batch normalisation and views see what they would have seen
    on one device, so that weights come out the same.

    - JAX: `keras.distribution.DataParallel`. Over several machines, where
      `KERAS_DISTRIBUTION_NUM_PROCESSES` and its companions are set.
    - TensorFlow: `tf.distribute.MirroredStrategy`; over several machines, where
      `TF_CONFIG` is set, `MultiWorkerMirroredStrategy`.
    - PyTorch: `torch.distributed`, a process for each device. A script that is not
      under `torchrun` starts again as that many processes, and this call does not
      return in the first. Each of them runs the whole script: what you write or print
      yourself, do where `is_chief()`.

    On a CPU, devices are virtual ones (JAX, TensorFlow) or processes (PyTorch), for
    trying things out.

    Args:
        devices: int. How many devices of this machine. Defaults to all accelerators
            that there are, or one CPU (on JAX, all virtual ones that it has been told
            to have).

    Raises:
        ValueError: For more devices than there are, another number than a call
            before, and TensorFlow on a TPU.

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
                f"There is one call, and it has taken {known} devices. "
                f"Received: devices={devices}"
            )
        return
    start = {"jax": _on_jax, "tensorflow": _on_tensorflow, "torch": _on_torch}
    start[keras.backend.backend()](devices)


def check_batch(batch_size):
    """Raises ValueError for a batch that devices cannot share equally."""
    count = replicas()
    if count > 1 and (batch_size % count or batch_size // count < 2):
        raise ValueError(
            f"`batch_size` must be a multiple of the {count} devices that share a "
            "batch, and give each of them 2 images at least. "
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
        keras.distribution.initialize()
    if devices is not None:
        with contextlib.suppress(RuntimeError):  # There are those that there are.
            jax.config.update("jax_num_cpu_devices", devices)
    names = keras.distribution.list_devices()
    if devices is not None and jax.process_count() == 1:
        kind = jax.devices()[0].device_kind
        if devices > len(names) and jax.default_backend() == "cpu":
            raise ValueError(
                f"JAX has started with {len(names)} devices. {FIRST} "
                f"Received: devices={devices}"
            )
        _check_count(devices, len(names), kind)
        names = names[:devices]
    if len(names) == 1:
        return
    # Every process reads its own part: see `processes`.
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

        strategy = multi_worker.strategy()
        if strategy.num_replicas_in_sync > 1:
            tf.distribute.experimental_set_strategy(strategy)
        return
    gpus = tf.config.list_physical_devices("GPU")
    count = devices or max(1, len(gpus))
    if count == 1:
        return
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
                    f"TensorFlow has started with fewer devices. {FIRST} "
                    f"Received: devices={devices}"
                ) from error
    # It tells of every exchange that it plans.
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
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        count = devices or max(1, gpus)
        if count > 1:
            _start_processes(count)
        return
    # Those that replace them are private as yet.
    warnings.filterwarnings("ignore", "torch.distributed.nn.functional", FutureWarning)
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpus else "gloo")
    # A process that ends with it aborts at times, whatever its code was.
    atexit.register(_leave)
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    if devices not in (None, here):
        raise ValueError(
            f"torchrun has started {here} processes on this machine. "
            f"Received: devices={devices}"
        )


def _leave():
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _start_processes(count):
    """Runs this script again, `count` times, and ends as they do."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    main = sys.modules["__main__"]
    if getattr(main, "__file__", None) is None or main.__spec__ is not None:
        raise ValueError(
            "Only a script, `python FILE`, can be started again as several processes. "
            f"Start others with `torchrun --nproc_per_node={count}`. "
            f"Received: sys.argv[0]={sys.argv[0]!r}"
        )
    try:
        run.main(["--standalone", f"--nproc_per_node={count}", *sys.argv])
    except SignalException:  # The processes have saved where they were.
        sys.exit(INTERRUPTED)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode == INTERRUPTED:
            sys.exit(INTERRUPTED)
        sys.exit(
            f"Process {rank} of {count} ended with code {failure.exitcode}; the others "
            "were stopped. Its own message is above."
        )
    sys.exit(0)


def refuse_keras_distribution():
    """Raises ValueError where `keras.distribution` would silently do nothing."""
    if keras.backend.backend() == "jax":
        return
    if keras.distribution.distribution() is not None:
        raise ValueError(
            "`keras.distribution` works on JAX only; on this backend it does nothing. "
            "Use `keras_mvssl.distribution.data_parallel()`. "
            f"Received: backend {keras.backend.backend()!r}"
        )
