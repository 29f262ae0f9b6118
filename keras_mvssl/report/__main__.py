"""python -m keras_mvssl.report RUN [RUN ...] [--out=report.html]"""

import pathlib

from absl import app
from absl import flags

from keras_mvssl import report

OUT = flags.DEFINE_string(
    "out", None, "The file. RUN/report.html if not given, ./report.html for several."
)


def main(argv):
    if len(argv) < 2:
        raise app.UsageError("Name at least one run folder.")
    default = pathlib.Path(argv[1]) / "report.html" if len(argv) == 2 else "report.html"
    path = OUT.value or default
    report.write(argv[1:], path)
    print(path)


if __name__ == "__main__":
    app.run(main)
