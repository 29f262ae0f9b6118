"""The device that the backend computes on, and the version of its package."""

import contextlib
import importlib.metadata
import pathlib
import platform
import re

import keras


def device_name():
    """Return the kind of device that the backend computes on, e.g. `"cpu"`."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        if not devices:
            return "cpu"
        return tf.config.experimental.get_device_details(devices[0])["device_name"]
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return "unknown"


def has_accelerator():
    """Return whether the backend computes on a GPU or a TPU (with PyTorch, on CUDA)."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU"))
    return device_name() != "cpu"


def tensorflow_for_data():
    """Return TensorFlow for reading data, kept off the GPUs of another backend."""
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        # TensorFlow refuses if the program has already started TensorFlow's devices.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tf


def versions():
    """Return the versions of Keras and of the backend's package."""
    backend = keras.backend.backend()
    return {"keras": keras.__version__, backend: importlib.metadata.version(backend)}


def processor_name():
    """Return the name of the processor, with the vectors that it can compute with.

    Libraries choose their code by these, so that steps may take other times.
    """
    described = _processor()
    name = re.search(r"^model name\s*: (.+)$", described, re.MULTILINE)
    name = name[1].strip() if name else platform.processor() or platform.machine()
    vectors = {"avx512f": "AVX-512", "avx2": "AVX2"}
    for flag, vector in vectors.items():
        if re.search(rf"\b{flag}\b", described):
            return f"{name}, {vector}"
    return name


def has_avx512():
    """Whether the processor is known to have AVX-512, which is only on Linux."""
    return re.search(r"\bavx512f\b", _processor()) is not None


def processor_features():
    """Return a text that is the same for processors that run the same machine code."""
    found = re.search(r"^(flags|Features)\s*: .+$", _processor(), re.MULTILINE)
    return f"{platform.machine()} {found[0] if found else platform.processor()}"


def _processor():
    """Return what Linux says of the processors, else an empty string."""
    try:
        return pathlib.Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return ""
