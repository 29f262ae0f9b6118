"""Command of the package: `keras-mvssl`, or `python -m keras_mvssl`."""

import sys

from keras_mvssl import command


def main() -> None:
    """Run the command that the arguments of the process name, and exit."""
    sys.exit(command.main())


if __name__ == "__main__":
    main()
