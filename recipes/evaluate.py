"""Evaluation of a saved encoder with every probe, and export of its features.

    python recipes/evaluate.py runs/shapes/encoder.keras --dataset=shapes

The encoder may be any Keras model from images in [0, 255] to features. `--paper_16`
adds the paper's protocol: features averaged over 16 views of an image. The command
`keras-mvssl evaluate ENCODER DATA` does the same.
"""

import os
import signal

if __name__ == "__main__":  # While libraries are imported, a signal to stop ends it.
    for number in signal.valid_signals() & {1, 2, 15}:  # HUP, INT, TERM
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(75))

import sys

from absl import app
from absl import flags

import keras_mvssl as mv

flags.DEFINE_string(
    "dataset",
    None,
    "Data set, a name for data.load: shapes, cifar10, folder:PATH, npz:PATH...",
    required=True,
)
flags.DEFINE_string("data_dir", None, "Folder of TFDS data.")
flags.DEFINE_integer("image_size", None, "Pixels that images are resized to.")
flags.DEFINE_enum(
    "on_bad_image",
    "error",
    ["error", "skip"],
    "What to do with an image of a folder that cannot be read.",
)
flags.DEFINE_enum(
    "labels",
    None,
    ["folders", "none"],
    "What the sub-folders of a folder mean: classes, or nothing. Default: classes "
    "where there are any.",
)
flags.DEFINE_bool(
    "paper_16",
    False,
    "Whether to probe features averaged over 16 views too, as the paper does: one view "
    "is clean, and 15 are by --augmentation.",
)
flags.DEFINE_string(
    "augmentation",
    None,
    "Preset of `views.Augmentation` for --paper_16. Default: that of the data set, or "
    "`Augmentation()`.",
)
flags.DEFINE_integer("batch_size", 512, "Images per forward pass.", lower_bound=1)
flags.DEFINE_integer(
    "seed", 0, "Seed of the labels that are held out, and of shares of the labels."
)
flags.DEFINE_string("out", None, "JSON file for the results.")
flags.DEFINE_string(
    "export_features",
    None,
    "npz file for the features x_train and x_test with labels y_train and y_test, or "
    "for x_pretrain where there are no labels.",
)


OF_THE_COMMAND = (
    *("data_dir", "image_size", "on_bad_image", "labels", "batch_size", "paper_16"),
    *("augmentation", "seed", "out", "export_features"),
)


def main(argv):
    """Run `keras-mvssl evaluate`, which does the same."""
    if len(argv) != 2:
        end("Name one saved encoder.")
    values = {name: flags.FLAGS[name].value for name in OF_THE_COMMAND}
    given = [f"--{x}={value}" for x, value in values.items() if value is not None]
    given = [x for x in given if x != "--paper_16=False"]
    given = [x.replace("--paper_16=True", "--paper_16") for x in given]
    sys.exit(mv.command.main(["evaluate", argv[1], flags.FLAGS.dataset, *given]))


def parse(argv):
    """Parse the flags; a mistake is told in one line."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        end(" ".join(str(error).split()))


def end(message):
    print(f"evaluate.py: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
