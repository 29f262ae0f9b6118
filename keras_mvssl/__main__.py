"""Command of the package: `keras-mvssl`, or `python -m keras_mvssl`."""

import os
import signal
import sys


def main() -> None:
    """Run the command that the arguments of the process name, and exit."""
    # While libraries are imported, a signal to stop ends it.
    for number in signal.valid_signals() & {1, 2, 15}:  # HUP, INT, TERM
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(75))
    from keras_mvssl import command

    sys.exit(command.main())


if __name__ == "__main__":
    main()
