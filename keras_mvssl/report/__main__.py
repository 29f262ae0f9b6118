"""Command that writes the report of one run, or of several runs side by side.

python -m keras_mvssl.report WORKDIR [WORKDIR ...] [--out=report.html]
"""

import pathlib

from absl import app
from absl import flags

from keras_mvssl import report

OUT = flags.DEFINE_string(
    "out",
    None,
    "The HTML file. Defaults to WORKDIR/report.html, or for several runs report.html.",
)


def main(argv):
    """Write the report of the workdirs that the arguments name, and print its path."""
    if len(argv) < 2:
        raise app.UsageError("Name at least one workdir, the folder of a run.")
    default = pathlib.Path(argv[1]) / "report.html" if len(argv) == 2 else "report.html"
    path = OUT.value or default
    report.write(argv[1:], path)
    print(path)


if __name__ == "__main__":
    app.run(main)
