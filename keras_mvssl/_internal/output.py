"""Standard output that may fail: what a program prints is beside what it computes."""

import contextlib
import os
import sys
import warnings


@contextlib.contextmanager
def output_may_fail():
    """Go on where standard output cannot be written: a full disk, or `| head`.

    One warning says so. Where nobody reads any more, what is printed later goes
    nowhere. Letters that the output does not have are replaced.
    """
    before = sys.stdout
    if isinstance(before, _Output):
        yield
        return
    with open(os.devnull, "w") as nowhere:  # A program without a console has None.
        sys.stdout = _Output(nowhere if before is None else before)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stdout = before


class _Output:
    """A text stream that writes to another one, and only warns where that fails."""

    def __init__(self, stream):
        self._stream, self._has_failed = stream, False

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        with self._told():
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:
                known = text.encode(error.encoding, "replace").decode(error.encoding)
                self._stream.write(known)
        return len(text)

    def writelines(self, lines):
        self.write("".join(lines))

    def flush(self):
        with self._told():
            self._stream.flush()

    @contextlib.contextmanager
    def _told(self):
        try:
            yield
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                self._discard()
            if not self._has_failed:
                self._has_failed = True
                warnings.warn(
                    f"Standard output cannot be written; training goes on. {error}",
                    stacklevel=4,
                )

    def _discard(self):
        """Let the stream lead nowhere, so that Python can flush it when it ends."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
