"""Runs a recipe on disks that are full at one of its files after the other.

    KERAS_BACKEND=jax python tests/programs/full_disk.py FOLDER

Each file of a run in turn cannot be written, as where a disk is full. The run must go
on to its end or end with a message that names the file; started again, when there is
room, it must end with the weights of a run that met no full disk. With `--sizes`, the
disk is a real one, a tmpfs of so many kilobytes, which root can make on Linux.
"""

import argparse
import builtins
import contextlib
import errno
import fnmatch
import hashlib
import io
import os
import pathlib
import subprocess
import sys
import warnings

import keras

import helpers
from keras_mvssl import training

RECIPE = training.Recipe(
    dataset="shapes",
    backbone="tiny",
    augment="device",
    views=2,
    epochs=2,
    steps_per_epoch=3,
    batch_size=32,
    projector_dim=8,
    checkpoint_steps=2,
)
FILES = (
    *(".lock", "config.json", "baselines.json", "metrics.csv", "views.png"),
    *("events.*", "*.tsv", "sprite.png", "projector_config.pbtxt"),
    *("model.keras", "state.npz", "state.json", "manifest.json"),
    *("encoder.keras", "diagnostics.npz", "results.json", "report.html"),
    "checksums.json",
)


@contextlib.contextmanager
def no_room_for(pattern):
    """Let each attempt to write a file of this name fail, in Python's functions.

    Yields:
        The list of paths that could not be written.
    """
    refused = []
    if pattern is None:
        yield refused
        return
    before = builtins.open, io.open, os.open

    def where_there_is_room(function):
        def write(file, mode="r", *args, **kwargs):
            if isinstance(mode, int):
                writes = mode & (os.O_WRONLY | os.O_RDWR)
            else:
                writes = set(mode) & set("wxa+")
            name = pathlib.Path(str(file)).name
            # Files that are written whole have another name at first.
            name = name.split("-", 2)[-1] if name.startswith(".unfinished-") else name
            if writes and fnmatch.fnmatch(name, pattern):
                refused.append(str(file))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            return function(file, mode, *args, **kwargs)

        return write

    builtins.open = io.open = where_there_is_room(io.open)
    os.open = where_there_is_room(os.open)
    try:
        yield refused
    finally:
        builtins.open, io.open, os.open = before


def weights(folder):
    """Return a checksum of the weights of a saved encoder."""
    encoder = keras.saving.load_model(folder / "encoder.keras", compile=False)
    found = hashlib.sha256()
    for weight in encoder.get_weights():
        found.update(weight.tobytes())
    return found.hexdigest()


def run(folder, pattern=None):
    """Run; return "" or the text of an error, and how many files were refused."""
    with warnings.catch_warnings(), no_room_for(pattern) as refused:
        warnings.simplefilter("ignore")
        try:
            training.run(RECIPE, folder)
        except OSError as error:
            return str(error), len(refused)
    return "", len(refused)


def check_names(folder):
    """Check each file; return the number of those that went wrong."""
    run(folder / "whole")
    whole, wrong = weights(folder / "whole"), 0
    for i, pattern in enumerate(FILES):
        workdir = folder / f"run{i}"
        ended, refused = run(workdir, pattern)
        # TensorFlow, where it is installed, writes events in C++.
        told = not ended or pattern.strip("*") in ended
        told &= refused > 0 or pattern == "events.*"
        left, _ = run(workdir)
        same = not left and weights(workdir) == whole
        wrong += not (told and same)
        verdict = "same weights" if told and same else f"WRONG {told=} {same=} {left}"
        print(
            f"{pattern:24} {refused:3} {ended[:80] or 'went on':80} {verdict}",
            flush=True,
        )
    return wrong


def check_sizes(folder, sizes):
    """Check real disks; return the number of those on which something went wrong."""
    run(folder / "whole")
    whole, wrong = weights(folder / "whole"), 0
    for size in sizes:
        disk = folder / f"disk{size}"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)]
        subprocess.run(mount, check=True)
        try:
            ended, _ = run(disk / "run")
            more = ["mount", "-o", "remount,size=1g", str(disk)]
            subprocess.run(more, check=True)
            left, _ = run(disk / "run")
            same = not left and weights(disk / "run") == whole
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
        wrong += not same
        verdict = "same weights" if same else f"WRONG {left}"
        print(f"{size:8} KB {ended[:100] or 'went on':100} {verdict}", flush=True)
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--sizes", type=int, nargs="*")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    helpers.draw_few_shapes(100)
    if options.sizes:
        failed = check_sizes(options.folder, options.sizes)
    else:
        failed = check_names(options.folder)
    sys.exit(f"{failed} went wrong" if failed else 0)
