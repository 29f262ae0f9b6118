"""Quick look at images: how many there are, and how large a sample of them is."""

import dataclasses
import os
import pathlib

from keras_mvssl._internal.npz import shapes_in
from keras_mvssl.data.folder import TEST_NAMES
from keras_mvssl.data.headers import SUFFIXES
from keras_mvssl.data.headers import size_of

SAMPLE = 64  # images whose headers are read


@dataclasses.dataclass(frozen=True)
class Look:
    """Number and sizes of images, by a quick look.

    Attributes:
        images: About how many images there are for pretraining.
        sizes: `(height, width)` of some of them; none where they cannot be read.
        channels: Channels of an image.
        resizes: Whether `data.load` can resize the images.
    """

    images: int
    sizes: list[tuple[int, int]]
    channels: int = 3
    resizes: bool = True

    @property
    def square(self) -> int | None:
        """The one height and width of all images of the sample; None if they differ."""
        edges = {edge for size in self.sizes for edge in size}
        return edges.pop() if len(edges) == 1 else None


def look_at_folder(path: str) -> Look:
    """Count the images below a folder, without those of its test set.

    Raises:
        ValueError: For a folder without images.
    """
    paths = _images_below(pathlib.Path(path).expanduser())
    if not paths:
        raise ValueError(
            f"There are no images ({', '.join(SUFFIXES)}) in the folder. "
            f"Received: {path}"
        )
    sizes = []
    for file in paths[:: max(1, len(paths) // SAMPLE)][:SAMPLE]:
        try:
            sizes.append(size_of(file))
        except (ValueError, OSError):
            continue  # `data.load` will say what is wrong with it.
    return Look(len(paths), sizes)


def _images_below(root):
    found, seen = [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # A link leads to a folder above, or to one read before.
            folders.clear()
            continue
        seen.add(real)
        hidden = {name for name in folders if name.startswith(".")}
        if pathlib.Path(folder) == root:
            hidden |= {name for name in folders if name.casefold() in TEST_NAMES}
        folders[:] = sorted(set(folders) - hidden)
        found += [
            pathlib.Path(folder, name)
            for name in sorted(files)
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return found


def look_at_npz(path: str) -> Look:
    """Read the shape of the images of an npz file.

    Raises:
        ValueError: For a file without such an array.
    """
    shapes = shapes_in(pathlib.Path(path).expanduser())
    shape = shapes.get("x_pretrain", shapes.get("x_train", ()))
    if len(shape) != 4:
        raise ValueError(
            "The npz file must hold images x_train, of shape (N, H, W, C). "
            f"Received: {path} with {shapes}"
        )
    count, height, width, channels = shape
    return Look(count, [(height, width)], channels, resizes=False)
