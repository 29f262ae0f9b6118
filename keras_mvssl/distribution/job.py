"""The devices and processes of a job, and messages between its processes."""

import pickle

import keras
import numpy as np

# Not empty while this process runs a function for all processes, in `once`.
_RUNNING_ONCE = []


def replicas():
    """Return the number of devices that share a batch."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    if keras.backend.backend() == "jax":
        distribution = keras.distribution.distribution()
        return 1 if distribution is None else int(distribution.device_mesh.devices.size)
    return processes()[1]


def processes():
    """Return the index of this process, and the number of processes that read parts."""
    if keras.backend.backend() == "torch":
        import torch.distributed as dist

        if dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
    if keras.backend.backend() == "jax" and replicas() > 1:
        import jax

        return jax.process_index(), jax.process_count()
    # With TensorFlow, every process reads the whole batch, and TensorFlow takes the
    # part of the process out of it.
    return 0, 1


def exchanges():
    """Return whether this process computes together with others now."""
    return processes()[1] > 1 and not _RUNNING_ONCE


def separate_metric_sums():
    """Return how many processes sum metrics separately, over their parts of a batch."""
    return processes()[1] if keras.backend.backend() == "torch" else 1


def is_chief() -> bool:
    """Return whether this process is the one process of a job that writes files.

    Example:
    ```python
    if keras_mvssl.distribution.is_chief():
        encoder.save("encoder.keras")
    ```
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        resolver = tf.distribute.get_strategy().cluster_resolver
        if resolver is None or resolver.task_type is None:
            return True
        chiefs = "chief" in resolver.cluster_spec().jobs
        first = "chief" if chiefs else "worker"
        return resolver.task_type == first and not resolver.task_id
    return processes()[0] == 0


def once(function):
    """Call a function in one process and return its result in all processes.

    Processes are independent enough only with PyTorch. With other backends, every
    process calls the function. Within such a function, `once` just calls its argument.
    """
    index, count = processes()
    if keras.backend.backend() != "torch" or count == 1 or _RUNNING_ONCE:
        return function()
    import torch.distributed as dist

    # An error is sent to all processes, because the others would wait forever.
    result = [None, None]
    if index == 0:
        _RUNNING_ONCE.append(True)
        try:
            result = [function(), None]
        except BaseException as error:
            result = [None, error]
        finally:
            _RUNNING_ONCE.pop()
        try:
            pickle.dumps(result)
        except Exception:
            result = [None, RuntimeError(repr(result[1] or result[0]))]
    try:
        dist.broadcast_object_list(result)
    except RuntimeError:  # Another process has ended.
        if result[1] is None:
            raise
    if result[1] is not None:
        raise result[1]
    return result[0]


def max_over_processes(number):
    """Return the largest of the ints that the processes of a job give, in all of them.

    Every process waits for all others. With TensorFlow, `number` must be 0, 1 or 2.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        strategy = tf.distribute.get_strategy()
        if not saves_together():
            return number
        # TensorFlow reduces to no maximum, so the processes count the 0s, 1s and 2s.
        counts = strategy.run(lambda: tf.one_hot(number, 3))
        counts = strategy.reduce(tf.distribute.ReduceOp.SUM, counts, axis=None)
        return max(i for i in range(3) if counts[i] > 0)
    if processes()[1] == 1:
        return number
    if keras.backend.backend() == "jax":
        from jax.experimental import multihost_utils

        return int(multihost_utils.process_allgather(np.int32(number)).max())
    import torch
    import torch.distributed as dist

    maximum = torch.tensor(number)
    if dist.get_backend() == "nccl":
        maximum = maximum.cuda()
    dist.all_reduce(maximum, dist.ReduceOp.MAX)
    return int(maximum)


def saves_together():
    """Return whether a variable can only be read by all processes at once."""
    if keras.backend.backend() == "jax":
        return processes()[1] > 1
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        resolver = tf.distribute.get_strategy().cluster_resolver
        return resolver is not None and resolver.task_type is not None
    return False
