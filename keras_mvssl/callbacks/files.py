"""Files that training can go on without."""

import contextlib
import warnings


@contextlib.contextmanager
def or_warn(path):
    """Turns a failure to write, e.g. to a full disk, into a warning."""
    try:
        yield
    except OSError as error:
        warnings.warn(
            f"{path} could not be written; training goes on. {error}", stacklevel=3
        )
