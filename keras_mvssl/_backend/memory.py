"""Main memory of the process."""

import ctypes
import os
import sys

from keras_mvssl._backend.device import has_accelerator

# Parameters of `mallopt`, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
# Environment variables with which a user chooses what malloc does with freed memory.
_MALLOC_VARIABLES = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
)


def peak_memory():
    """Return the peak of this process' main memory, in bytes; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def keep_freed_memory() -> None:
    """Make this process keep freed memory for the next step of training.

    This is for PyTorch on a CPU under Linux. By default, glibc gives large blocks
    back to the system when they are freed. The system clears them page by page when the
    next step asks for them again, which can take a good part of a step. (TensorFlow
    keeps freed blocks itself. JAX allocates from threads, for which glibc keeps less.)

    Call this function before the first step, and after `data_parallel` if you call
    that: looking for an accelerator starts the backend. The change cannot be undone:
    the process holds the most memory that it ever needed, until the process ends.
    `training.run` calls this function.

    Nothing changes if there is an accelerator, the C library is not glibc, or the
    environment sets `MALLOC_TRIM_THRESHOLD_` or a similar variable, or `glibc.malloc`
    in `GLIBC_TUNABLES`.

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
