"""Signals while the command of the package imports its libraries, for seconds."""

import os
import signal
import sys


def is_command():
    """Return whether this process is `keras-mvssl` or `python -m keras_mvssl`.

    While Python imports the package to find `__main__.py`, `sys.argv[0]` is `-m`.
    """
    name = os.path.basename([*sys.argv, ""][0])
    is_module = name == "-m" and "keras_mvssl" in sys.orig_argv
    return is_module or os.path.splitext(name)[0] == "keras-mvssl"


def end_at_signals():
    """Let a signal to stop end the process with code 75, as recipes begin."""
    for number in signal.valid_signals() & {1, 2, 15}:  # HUP, INT, TERM
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(75))
