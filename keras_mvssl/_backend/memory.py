"""Main memory of the process."""

import ctypes
import os
import sys

from keras_mvssl._backend.device import has_accelerator

# Of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_MALLOC_VARIABLES = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
)


def peak_memory():
    """Bytes of main memory that this process has used at most; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def keep_freed_memory() -> None:
    """Makes this process keep the memory that it frees, for the next step of training.

    For PyTorch on a CPU under Linux: by default, glibc gives large blocks back to the
    system when they are freed, which clears them page by page when the next step asks
    for them again, and a good part of a step can go there. (TensorFlow keeps them by
    itself; JAX allocates from threads, for which glibc keeps less.)

    Call it before the first step, and after `data_parallel` if you do that: looking for
    an accelerator starts the backend. It cannot be undone: the process then holds the
    most that it ever needed, until it ends. `training.run` calls it. It does nothing
    where there is an accelerator, with another C library, or where the environment has
    a say: `MALLOC_TRIM_THRESHOLD_` and its like, or `glibc.malloc` in `GLIBC_TUNABLES`.

    Example:

    ```python
    keras_mvssl.distribution.keep_freed_memory()
    model.fit(stream, epochs=10)
    ```
    """
    if has_accelerator() or any(name in os.environ for name in _MALLOC_VARIABLES):
        return
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    try:
        is_glibc = "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (AttributeError, ValueError):  # Windows, macOS
        return
    if is_glibc:
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, -1)
        mallopt(_M_MMAP_MAX, 0)
