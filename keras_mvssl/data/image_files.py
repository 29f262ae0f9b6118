"""Search for the image files in a folder. Every other file is refused or recorded."""

import dataclasses
import os
import pathlib
import unicodedata

import numpy as np

from keras_mvssl.data import record
from keras_mvssl.data.headers import SUFFIXES
from keras_mvssl.data.headers import size_of
from keras_mvssl.data.record import printable
from keras_mvssl.data.record import unreadable


@dataclasses.dataclass(frozen=True)
class FoundImages:
    """Images found in a folder; labels and class names are None without sub-folders.

    `real_paths` are the paths of the same files without links.
    """

    paths: list[pathlib.Path]
    real_paths: list[str]
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None


class Headers:
    """Sizes of images, read from the headers of their files.

    Args:
        notes: `FolderRecord`, which says what to do with files that are no images.
        max_pixels: Most pixels of an image.
        shrink: Whether JPEG files of more pixels may be decoded smaller.

    Attributes:
        notes: `FolderRecord`.
        sizes: `{path: (height, width)}` of all images that were read.
    """

    def __init__(self, notes, max_pixels, shrink):
        self.notes = notes
        self.sizes = {}
        self._limits = max_pixels, shrink

    def readable(self, found):
        """Return the part of `{real path: path}` that has headers of images."""
        kept = {}
        for real, path in found.items():
            try:
                self.sizes[path] = size_of(path, *self._limits, self.notes.note)
                kept[real] = path
            except ValueError as error:
                self.notes.handle(error)
        return kept


def find_images(root, headers, labels=None, classes=None):
    """List the images in a folder, in sorted order.

    Args:
        root: The folder.
        headers: `Headers`, whose record says what to do with what is no image.
        labels: `"folders"` if sub-folders are classes; `"none"` if the images of all
            sub-folders are listed together, without labels; None if sub-folders are
            classes where there are any.
        classes: Optional names of the sub-folders to list. All must exist.

    Returns:
        `FoundImages`.

    Raises:
        ValueError: If the folder or the sub-folder of a class has no images, if a
            sub-folder of `classes` is missing, if images lie beside the sub-folders
            of classes, if two names of classes differ in case only, or if one file
            is in two classes.
    """
    notes = headers.notes
    if labels == "none":
        return _unlabelled(root, headers.readable(_images_below(root, notes)))
    inside = list_folder(root, notes)
    if not inside.folders and labels is None:
        found = _without_repeats(inside.images, notes)
        return _unlabelled(root, headers.readable(found))
    if not inside.folders:
        raise ValueError(
            "With labels='folders', every class is a sub-folder. "
            f"Received: no sub-folders in {root}"
        )
    folders = inside.folders
    if classes is not None:
        missing = sorted(set(classes) - {p.name for p in folders})
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(classes)} classes have no sub-folder in "
                f"{root}. Received: no {missing[0]}"
            )
        for other in (p for p in folders if p.name not in classes):
            notes.note(record.OTHER_CLASSES, other)
        folders = [p for p in folders if p.name in classes]
    if inside.images:
        raise ValueError(
            "Images lie beside sub-folders, so it is unclear whether the sub-folders "
            "are classes. If they are none, labels='none' reads all images without "
            f"labels. Received: {inside.images[0]} beside {folders[0]}"
        )
    by_name(folders)
    known, chosen = {}, []
    for label, folder in enumerate(folders):
        found = headers.readable(_images_below(folder, notes))
        _require_images(found, folder)
        for real, path in found.items():
            if real in known:
                raise ValueError(
                    "One file must not be in two classes. If the sub-folders are no "
                    "classes, labels='none' reads each file once. "
                    f"Received: {known[real]} and {path} are the same file"
                )
        known |= found
        chosen += [(path, real, label) for real, path in found.items()]
    paths, real_paths, numbers = zip(*chosen)
    names = tuple(printable(p.name) for p in folders)
    return FoundImages(list(paths), list(real_paths), np.array(numbers, "int32"), names)


@dataclasses.dataclass(frozen=True)
class Inside:
    """Sub-folders and images that lie in a folder itself, sorted."""

    folders: list[pathlib.Path]
    images: list[pathlib.Path]


def list_folder(folder, notes):
    """Return the `Inside` of a folder. All else in it is recorded or refused."""
    try:
        with os.scandir(folder) as entries:
            entries = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        notes.handle(unreadable(folder, error))
        entries = []
    folders, images = [], []
    for entry in entries:
        path = folder / entry.name
        is_folder = os.path.isdir(path) if entry.is_symlink() else entry.is_dir()
        if entry.name.startswith("."):
            kind = record.HIDDEN_FOLDERS if is_folder else record.HIDDEN_FILES
            notes.note(kind, path)
        elif is_folder:
            folders.append(path)
        elif entry.is_symlink() and not os.path.exists(path):
            notes.handle(unreadable(path, "it is a link that leads nowhere"))
        elif path.suffix.lower() in SUFFIXES:
            images.append(path)
        else:
            notes.note(record.OTHER_SUFFIXES, path)
    return Inside(folders, images)


def by_name(folders):
    """Return the folders in a dict, by their names in lower case.

    Raises:
        ValueError: If two names differ in case (or in the bytes of the same letters)
            only. One of the two would be read as another class, or not at all.
    """
    named = {}
    for folder in folders:
        key = unicodedata.normalize("NFC", folder.name).casefold()
        if key in named:
            raise ValueError(
                "Names of sub-folders must differ in more than upper and lower case. "
                f"Received: {named[key].name!r} and {folder.name!r} in {folder.parent}"
            )
        named[key] = folder
    return named


def _images_below(root, notes):
    """Return `{real path: path}` of all images below a folder, in sorted order.

    Links to folders are followed, after all folders that are none, so that the image
    itself is listed rather than a link to it.
    """
    top = os.path.realpath(root)
    waiting, links, read, images = [root], [], set(), []
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        real = os.path.realpath(folder)
        # A folder above would lead to this one again, or to the whole disk.
        if real in read or (real != top and _is_within(top, real)):
            notes.note(record.REPEATED_FOLDERS, folder)
            continue
        read.add(real)
        inside = list_folder(folder, notes)
        images += inside.images
        for path in inside.folders:
            (links if path.is_symlink() else waiting).append(path)
    return _without_repeats(images, notes)


def _is_within(path, folder):
    return os.path.commonpath([path, folder]) == folder


def _without_repeats(paths, notes):
    """Return `{real path: path}` in sorted order; repeated files are recorded."""
    found, folders = {}, {}
    links = [path for path in paths if path.is_symlink()]
    for path in (*(p for p in paths if not p.is_symlink()), *links):
        if path.parent not in folders:
            folders[path.parent] = os.path.realpath(path.parent)
        real = os.path.join(folders[path.parent], path.name)
        real = os.path.realpath(real) if path.is_symlink() else real
        if real in found:
            notes.note(record.REPEATED_FILES, path)
        else:
            found[real] = path
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _unlabelled(root, found):
    _require_images(found, root)
    return FoundImages(list(found.values()), list(found))


def _require_images(found, root):
    if not found:
        raise ValueError(
            f"There are no images ({', '.join(SUFFIXES)}) in the folder. "
            f"Received: folder={root}"
        )
