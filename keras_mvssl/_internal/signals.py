"""Signals that ask a process to stop: HUP, INT (Ctrl-C) and TERM.

Python runs the handlers of signals in the main thread, between two of its instructions.
A process that waits for another one, in C++, would never run them, so a second thread
hears the signals as well, by `signal.set_wakeup_fd`.
"""

import contextlib
import dataclasses
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

# The exit code of a run that was asked to stop and can be continued. In sysexits.h, 75
# means "temporary failure; the user is invited to retry".
INTERRUPTED_EXIT_CODE = 75
NAMES = ("SIGHUP", "SIGINT", "SIGTERM")  # Windows has no SIGHUP.
# Signals within so many seconds are one request: who stops a job may signal all of its
# processes, and the launcher of a job passes on what it hears.
ONE_REQUEST = 1.0
# Functions that the other thread calls at the first signal.
AT_FIRST_SIGNAL: list[Callable[[], None]] = []


@contextlib.contextmanager
def on_signals(
    act, limit=None, deaf_limit=None, ends_process=False, repeat=False, names=NAMES
):
    """Call a function at signals, instead of what they do otherwise.

    After the first signal, another one ends the process with `INTERRUPTED_EXIT_CODE`,
    wherever it is. Signals that are ignored, as SIGHUP is under `nohup`, stay ignored.
    Children made by `os.fork` handle signals as before. Only the main thread of a
    program may handle signals; in other threads this context manager does nothing.

    Within another such context, this one stands in for it. A signal that has not led to
    an exception here is then one of the other.

    Args:
        act: Function of the name of a signal, which may raise an exception.
        limit: Seconds from a signal until the process is ended, whatever it does.
        deaf_limit: Seconds from a signal until the process is ended if its main thread
            has not called `act` yet.
        ends_process: Whether the process is about to end where this context ends by
            `SystemExit` with `INTERRUPTED_EXIT_CODE`. It then has `limit` to do so.
        repeat: Whether `act` is called at later signals, too, which then do not end the
            process.
        names: Names of the signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ear = _ear()
    listener = _Listener(act, limit, deaf_limit, repeat)
    try:
        ear.enter(listener, names)
        yield
    except BaseException as error:
        code = getattr(error, "code", None)
        if ends_process and code == INTERRUPTED_EXIT_CODE:
            ear.expect_the_end()
        else:
            ear.leave(listener)
        raise
    ear.pass_on(ear.leave(listener))


@contextlib.contextmanager
def heard_again():
    """Hear signals again after this context, in which a library may take them."""
    numbers = _handled()
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, _EARS[-1].handle)


@contextlib.contextmanager
def left_to_the_system():
    """Let a signal end the process by itself, where no thread could hear it.

    The process then has the code of the signal, such as 143 in a shell for SIGTERM.
    """
    with heard_again():
        for number in _handled():
            signal.signal(number, signal.SIG_DFL)
        yield


def _handled():
    """Return the numbers of the signals that are handled in this, the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return []
    listeners = [listener for ear in _EARS for listener in ear.listeners]
    return [number for listener in listeners for number in listener.before]


def end_at_once(why):
    """End the process with `INTERRUPTED_EXIT_CODE`, from any thread."""
    with contextlib.suppress(RuntimeError):  # Python has begun to end.
        # The main thread may hold the locks of the streams forever.
        flush = threading.Thread(target=_flush, daemon=True)
        flush.start()
        flush.join(1)
    with contextlib.suppress(OSError):
        os.write(2, f"{why}\n".encode())
    os._exit(INTERRUPTED_EXIT_CODE)


def _flush():
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


@dataclasses.dataclass
class _Listener:
    act: Callable[[str], None]
    limit: float | None
    deaf_limit: float | None
    repeat: bool
    since: float = 0.0
    before: dict = dataclasses.field(default_factory=dict)


class _Ear(threading.Thread):
    """Thread that hears signals, and ends the process where it must.

    Attributes:
        listeners: The contexts of `on_signals` that have begun, the innermost last.
        number: Number of the first signal; None before.
    """

    def __init__(self):
        super().__init__(name="signals", daemon=True)
        self.listeners = []
        self.number, self._since, self._called = None, 0.0, 0.0
        self._raised = None
        self._inside, self._outside = socket.socketpair()
        self._outside.setblocking(False)
        self._wakeup_before, self._hook_before = -1, None

    def enter(self, listener, names):
        """Begin a context, in the main thread."""
        listener.since = time.monotonic()
        if not self.listeners:
            descriptor = self._outside.fileno()
            self._wakeup_before = signal.set_wakeup_fd(
                descriptor, warn_on_full_buffer=False
            )
            self._hook_before, sys.unraisablehook = sys.unraisablehook, self._see_lost
        self.listeners.append(listener)
        self._look()
        for name in names:
            number = getattr(signal, name, None)
            before = None if number is None else signal.getsignal(number)
            if before not in (None, signal.SIG_IGN):
                listener.before[number] = signal.signal(number, self.handle)
        if self.number is not None:  # Its exception has been lost.
            listener.act(signal.Signals(self.number).name)

    def leave(self, listener):
        """End a context; return the number of a signal that was heard, or None."""
        self.listeners.remove(listener)
        for number, handler in listener.before.items():
            signal.signal(number, handler)
        heard = self.number
        if self.listeners:
            self.listeners[-1].since = time.monotonic()
        else:
            signal.set_wakeup_fd(self._wakeup_before)
            sys.unraisablehook = self._hook_before
            self.number, self._called, self._raised = None, 0.0, None
        self._look()
        return heard

    def pass_on(self, number):
        """Let those who handle signals now handle one that was heard before."""
        if number is None:
            return
        if self.listeners:
            self.listeners[-1].act(signal.Signals(number).name)
        else:
            signal.raise_signal(number)

    def expect_the_end(self):
        """End the process soon, although no signal may have come to this process."""
        self.listeners[-1].since = time.monotonic()
        self._hear(signal.SIGTERM)
        self._look()

    def handle(self, number, frame):
        """Handle a signal, in the main thread."""
        self._hear(number)
        if not self.listeners:
            return
        listener, now = self.listeners[-1], time.monotonic()
        if self._called and (not listener.repeat or now < self._called + ONE_REQUEST):
            return
        self._called = now
        try:
            listener.act(signal.Signals(number).name)
        except BaseException as error:
            self._raised = error
            raise

    def _see_lost(self, lost):
        """Raise an exception again where Python dropped it, as in a `__del__`."""
        if self._raised is None or lost.exc_value is not self._raised:
            self._hook_before(lost)
            return
        self._raised, self._called, self._since = None, 0.0, time.monotonic()
        main = threading.main_thread().ident
        again = threading.Timer(0.05, signal.pthread_kill, [main, self.number])
        again.daemon = True
        again.start()

    def run(self):
        while (left := self._seconds_left()) != 0:
            self._inside.settimeout(left)
            with contextlib.suppress(TimeoutError):
                number = self._inside.recv(1)[0]
                if number:  # Else there is just something to look at.
                    self._notice(number)
        name = signal.Signals(self.number or signal.SIGTERM).name
        end_at_once(f"Stopped by {name}, without waiting any longer")

    def _notice(self, number):
        listeners = list(self.listeners)  # They may change meanwhile.
        if not any(number in listener.before for listener in listeners):
            return
        is_second = self.number and time.monotonic() > self._since + ONE_REQUEST
        if is_second and not listeners[-1].repeat:
            name = signal.Signals(number).name
            end_at_once(f"Stopped at once by a second signal, {name}")
        self._hear(number)
        if not is_second:
            for function in AT_FIRST_SIGNAL:
                with contextlib.suppress(OSError):
                    function()

    def close(self):
        """Close what signals are heard by, where the thread has not come along."""
        self._inside.close()
        self._outside.close()

    def _hear(self, number):
        if self.number is None:
            self._since, self.number = time.monotonic(), number

    def _seconds_left(self):
        """Return the seconds until the process is ended; None where it may go on."""
        listeners = self.listeners[-1:]
        if self.number is None or not listeners:
            return None
        (listener,) = listeners
        limit = listener.limit
        if limit is None and not self._called:
            limit = listener.deaf_limit
        if limit is None:
            return None
        return max(0.0, max(self._since, listener.since) + limit - time.monotonic())

    def _look(self):
        """Wake the thread up, so that it sees what has changed."""
        with contextlib.suppress(BlockingIOError):
            self._outside.send(b"\0")


_EARS: list[_Ear] = []  # one at most


def _ear():
    if not _EARS:
        _EARS.append(_Ear())
        _EARS[-1].start()
    return _EARS[-1]


def _forget():
    """Make a child of `os.fork` what it would be without this module."""
    while _EARS:
        ear = _EARS.pop()
        while ear.listeners:
            ear.leave(ear.listeners[-1])
        ear.close()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget)
