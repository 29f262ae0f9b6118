"""The devices and processes of a job, and what processes tell each other."""

import pickle

import keras
import numpy as np

# Not empty within a function that one process calls for all.
_ALONE = []


def replicas():
    """How many devices share a batch."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    if keras.backend.backend() == "jax":
        distribution = keras.distribution.distribution()
        return 1 if distribution is None else int(distribution.device_mesh.devices.size)
    return processes()[1]


def processes():
    """This process' number, and how many there are that read a part of each batch."""
    if keras.backend.backend() == "torch":
        import torch.distributed as dist

        if dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
    if keras.backend.backend() == "jax" and replicas() > 1:
        import jax

        return jax.process_index(), jax.process_count()
    return 0, 1  # TensorFlow takes each process' part out of the whole batch.


def separate_sums():
    """How many processes add up metrics on their own, each over its part of a batch."""
    return processes()[1] if keras.backend.backend() == "torch" else 1


def is_chief() -> bool:
    """Whether this is the one process of a job that writes files.

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
    """Calls a function in one process and returns its result in all of them.

    Only processes of PyTorch are independent enough; on others all of them call it.
    Within such a function, another one is simply called.
    """
    index, count = processes()
    if keras.backend.backend() != "torch" or count == 1 or _ALONE:
        return function()
    import torch.distributed as dist

    # An error is everyone's error: the others would wait forever.
    result = [None, None]
    if index == 0:
        _ALONE.append(True)
        try:
            result = [function(), None]
        except BaseException as error:
            result = [None, error]
        finally:
            _ALONE.pop()
        try:
            pickle.dumps(result)
        except Exception:
            result = [None, RuntimeError(repr(result[1] or result[0]))]
    dist.broadcast_object_list(result)
    if result[1] is not None:
        raise result[1]
    return result[0]


def highest(number):
    """The highest of the ints that all processes of a job give; they wait for it."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        strategy = tf.distribute.get_strategy()
        if not saves_together():
            return number
        # Without a maximum of its own: whether any of them gives 2, or 1.
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

    flag = torch.tensor(number)
    if dist.get_backend() == "nccl":
        flag = flag.cuda()
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return int(flag)


def saves_together():
    """Whether a variable is read by all processes at once, or by none."""
    if keras.backend.backend() == "jax":
        return processes()[1] > 1
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        resolver = tf.distribute.get_strategy().cluster_resolver
        return resolver is not None and resolver.task_type is not None
    return False
