"""NumPy files of several arrays, read with a bound on the memory that they take."""

import contextlib
import errno
import math
import zipfile
import zlib

import numpy as np

from keras_mvssl._internal.files import is_file

# Most bytes of all arrays of a file, unpacked.
MAX_BYTES = 2**30
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(path, most=MAX_BYTES, names=None):
    """Read arrays of a file that `numpy.savez` has written, or anyone else.

    Args:
        path: The file.
        most: Most bytes that the arrays may take in memory.
        names: Names of the arrays to read, as far as they exist. Defaults to all.

    Returns:
        `{name: array}`, and a list of the names of other arrays.

    Raises:
        ValueError: For a file that cannot be read, that holds objects of Python, or
            whose arrays would take more.
        OSError: For a failure of the system, which may pass.
    """
    with _told(path):
        if not is_file(path):  # To read a pipe would wait forever.
            raise FileNotFoundError("no such file")
        with zipfile.ZipFile(path) as file:
            members = {x.filename.removesuffix(".npy"): x for x in file.infolist()}
            if len(members) < len(file.infolist()):
                raise ValueError("two arrays have one name")
            names = [x for x in names or members if x in members]
            _check(file, [members[name] for name in names], most)
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in names}
    return found, sorted(set(members) - set(names))


def shapes_in(path):
    """Return the shapes of the arrays of a file by their names; only headers are read.

    Raises:
        ValueError: For a file that cannot be read.
        OSError: For a failure of the system, which may pass.
    """
    with _told(path):
        if not is_file(path):  # To read a pipe would wait forever.
            raise FileNotFoundError("no such file")
        with zipfile.ZipFile(path) as file:
            return {
                member.filename.removesuffix(".npy"): _header(file, member)[0]
                for member in file.infolist()
            }


def _check(file, members, most):
    """Raise ValueError for arrays that take too much, by their headers."""
    size = sum(member.file_size for member in members)
    if size > most:
        raise ValueError(
            f"its arrays take {size / 2**30:.3g} GiB when they are unpacked, of at "
            f"most {most / 2**30:.3g} GiB"
        )
    for member in members:
        # A few bytes of the other kinds of compression can unpack to very many.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename} is compressed in another way")
        shape, dtype = _header(file, member)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds objects (allow_pickle=False)")
        # Memory is taken by what the header says, before anything is read.
        if math.prod(shape) * dtype.itemsize > member.file_size:
            raise ValueError(f"{member.filename} is shorter than it says")


def _header(file, member):
    with file.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"{member.filename} has version {version}")
        shape, _, dtype = _HEADERS[version](stream)
    return shape, dtype


@contextlib.contextmanager
def _told(path):
    try:
        yield
    except (
        *(
            AttributeError,
            EOFError,
            MemoryError,
            NotImplementedError,
            OSError,
            OverflowError,
        ),
        *(RuntimeError, SyntaxError, TypeError, ValueError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(
            f"The file cannot be read as .npz: {error} ({type(error).__name__}). "
            f"Received: path={path}"
        ) from error
