"""The settings of a run, read back from its `config.json`."""

import os
import pathlib
from typing import Any

from keras_mvssl._internal import files
from keras_mvssl.views import Augmentation

# Settings that do not apply where a part of a run is given as an object.
REPLACED = {
    "encoder": ("backbone", "stem"),
    "loss": ("loss", "beta", "pairing", "l2_normalize"),
    "views": ("views", "view_size", "augment", "augmentation"),
    "data": ("data_dir", "image_size", "fraction", "balanced", "on_bad_image"),
}


def settings_of(path: str | os.PathLike, names: list[str]) -> dict[str, Any]:
    """Read the settings of a run, without those that its own parts stand for.

    Args:
        path: Folder of the run, or its `config.json`.
        names: Names of settings.

    Returns:
        `{name: value}`.

    Raises:
        ValueError: For a file that is not the `config.json` of a run.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        path = path / "config.json"
    try:
        config = files.read_json(path)
        found = {name: config[name] for name in names if name in config}
        if not found or config["format"] is None:
            raise ValueError("it has no settings")
        # That of a view, whatever the size of the images.
        found["augmentation"] = Augmentation(**config["augmentation"])
    except FileNotFoundError as error:
        raise ValueError(
            f"There is no config.json of a run. Received: path={path}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"`path` must be the config.json of a run ({type(error).__name__}: "
            f"{error}). Received: path={path}"
        ) from error
    own = [part for part in REPLACED if f"own_{part}" in config]
    for part in own:
        found = {k: v for k, v in found.items() if k not in REPLACED[part]}
    if "own_data" in config:
        found.pop("dataset", None)
    if own:
        print(f"Give `run` its own parts again: {', '.join(own)}")
    return found
