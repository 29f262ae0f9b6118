"""NumPy files of several arrays, read with a bound on the memory that they take."""

import contextlib
import math
import zipfile
import zlib

import numpy as np

# Most bytes of all arrays of a file, unpacked.
MAX_BYTES = 2**30
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(path, most=MAX_BYTES):
    """Read all arrays of a file that `numpy.savez` has written, or anyone else.

    Args:
        path: The file.
        most: Most bytes that the arrays may take in memory.

    Returns:
        `{name: array}`.

    Raises:
        ValueError: For a file that cannot be read, that holds objects of Python, or
            whose arrays would take more.
    """
    with _told(path):
        if not path.is_file():  # To read a pipe would wait forever.
            raise FileNotFoundError("no such file")
        with zipfile.ZipFile(path) as file:
            _check(file, most)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


def _check(file, most):
    """Raise ValueError for a file whose arrays take too much, by their headers."""
    size = sum(member.file_size for member in file.infolist())
    if size > most:
        raise ValueError(f"its arrays take {size} bytes, of at most {most}")
    for member in file.infolist():
        # A few bytes of the other kinds of compression can unpack to very many.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename} is compressed in another way")
        with file.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in _HEADERS:
                raise ValueError(f"{member.filename} has version {version}")
            shape, _, dtype = _HEADERS[version](stream)
        # Memory is taken by what the header says, before anything is read.
        if dtype.hasobject or math.prod(shape) * dtype.itemsize > member.file_size:
            raise ValueError(f"{member.filename} is shorter than it says")


@contextlib.contextmanager
def _told(path):
    try:
        yield
    except (
        *(EOFError, MemoryError, NotImplementedError, OSError, OverflowError),
        *(RuntimeError, SyntaxError, TypeError, ValueError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise ValueError(
            "A file must hold arrays, as `numpy.savez` writes them "
            f"({type(error).__name__}: {error}). Received: path={path}"
        ) from error
