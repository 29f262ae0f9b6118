"""Encoder and data that arguments name, and the flags that say how to load them."""

import contextlib
import os
import pathlib
import typing

import keras

from keras_mvssl import data
from keras_mvssl._internal import files
from keras_mvssl.command import recipe_files
from keras_mvssl.command.parser import UsageError
from keras_mvssl.data.folder import LabelsOfFolders
from keras_mvssl.data.images import BadImagePolicy


def add_arguments(parser):
    """Add the encoder, the data, and how they are loaded."""
    parser.position("ENCODER", "Saved Keras model, such as runs/first/encoder.keras.")
    text = (
        "A folder, an npz file, or a name of data.load: shapes, cifar10, folder:PATH, "
        "npz:PATH..."
    )
    parser.position("DATA", text)
    text = "Folder of TFDS data."
    parser.flag("data", "data_dir", text, metavar="FOLDER")
    text = (
        "Pixels that images are resized to; for folders and TFDS. "
        "Default: those of the run of the encoder, for folders."
    )
    parser.flag("data", "image_size", text, type=int, metavar="INT")
    text = "What to do with an image of a folder that cannot be read. Default: error."
    choices = typing.get_args(BadImagePolicy)
    parser.flag("data", "on_bad_image", text, choices=choices, default="error")
    text = (
        "What the sub-folders of a folder mean: `folders`: each is a class; `none`: "
        "there are no labels. Default: classes where there are any."
    )
    choices = typing.get_args(LabelsOfFolders)
    parser.flag("data", "labels", text, choices=choices)
    parser.flag(
        "data",
        "batch_size",
        "Images per forward pass. Default: 512.",
        type=int,
        default=512,
        metavar="INT",
    )


def dataset(name: str) -> str:
    """Return the name of data for `data.load`; a folder or a file needs no prefix.

    Raises:
        UsageError: For a path that leads nowhere.
    """
    if name.startswith(("folder:", "npz:")) or name in recipe_files.NAMES:
        return name
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        return f"folder:{name}"
    is_npz = name.lower().endswith(".npz")
    if os.path.isfile(path) and is_npz:
        return f"npz:{name}"
    if os.path.isfile(path):
        raise UsageError(f"DATA is a folder or an npz file. Received: {name}")
    if os.sep in name or is_npz:
        raise UsageError(f"No such folder or file. Received: {name}")
    return name


def check(arguments):
    """Check the arguments before anything is loaded; raise `UsageError`."""
    if not pathlib.Path(arguments.encoder).expanduser().exists():
        raise UsageError(f"No such file. Received: ENCODER={arguments.encoder}")
    for name in ("batch_size", "image_size"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UsageError(
                f"`{name}` must be an int of at least 1. Received: {name}={value}"
            )
    dataset(arguments.data)


def check_output(name: str, path: str | None, suffixes: tuple[str, ...] = ()) -> None:
    """Check the path of a file to be written; raise `UsageError`."""
    if path is None:
        return
    if not pathlib.Path(path).expanduser().resolve().parent.is_dir():
        raise UsageError(f"No such folder. Received: --{name}={path}")
    if pathlib.Path(path).expanduser().is_dir():
        raise UsageError(f"`{name}` must be no folder. Received: --{name}={path}")
    if suffixes and pathlib.Path(path).suffix.lower() not in suffixes:
        raise UsageError(
            f"`{name}` must end with {' or '.join(suffixes)}. Received: --{name}={path}"
        )


def load_encoder(arguments) -> keras.Model:
    """Load the encoder."""
    path = pathlib.Path(arguments.encoder).expanduser()
    return keras.saving.load_model(path, compile=False)


def image_size(arguments) -> int | None:
    """Return the pixels that images of a folder are resized to, as far as known.

    Those that are not given are those of the run that the encoder is of.
    """
    is_folder = dataset(arguments.data).startswith("folder:")
    config = pathlib.Path(arguments.encoder).expanduser().parent / "config.json"
    if arguments.image_size is not None or not is_folder or not config.exists():
        return arguments.image_size
    with contextlib.suppress(ValueError):  # of another program
        size = files.read_json(config).get("image_size")
        if isinstance(size, int) and size > 0:
            print(f"Images are resized to {size} pixels, as in the run of the encoder.")
            return size
    return None


def load_data(arguments) -> data.Splits:
    """Load the data."""
    return data.load(
        dataset(arguments.data),
        arguments.data_dir,
        image_size=image_size(arguments),
        on_bad_image=arguments.on_bad_image,
        labels=arguments.labels,
    )
