"""Command of the package: `keras-mvssl`, with a subcommand for each kind of work."""

from keras_mvssl.command.start import main

__all__ = ["main"]
