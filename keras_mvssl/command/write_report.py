"""Subcommand `report`: the report of one run, or of several side by side."""

import pathlib

from keras_mvssl import report


def add(parser):
    """Write the report of one run, or of several runs side by side."""
    parser.position("WORKDIR", "Folders of runs.", nargs="+")
    text = (
        "The HTML file. Defaults to WORKDIR/report.html, or for several runs "
        "report.html."
    )
    parser.flag("where", "out", text, metavar="FILE")


def start(arguments):
    """Write the report, and print its path."""
    first, *others = arguments.workdir
    default = "report.html" if others else pathlib.Path(first) / "report.html"
    path = arguments.out or default
    report.write(arguments.workdir, path)
    print(path)
