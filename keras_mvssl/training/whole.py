"""Files that a finished run has made, and their checksums."""

import contextlib
import warnings
import zipfile

from keras_mvssl._internal import files

# Checksums of the files of a finished run, written last.
FILE = "checksums.json"
REPORT = "report.html"
MADE = ("encoder.keras", "diagnostics.npz", "metrics.csv", "results.json", REPORT)


def write_checksums(folder):
    """Write the checksums of what a finished run has made."""
    found = {name: files.checksum(folder / name) for name in MADE}
    files.write_json(folder / FILE, {"sha256": found})


def is_finished(workdir):
    """Return whether a run has come to its end, whatever became of its files since.

    Raises:
        OSError: For a failure to find out, which may pass.
    """
    names = ("results.json", REPORT)
    written = all(files.is_file(workdir / name) for name in names)
    return written or files.is_file(workdir / FILE)


def epochs_of_results(workdir):
    """Return the epochs of the results of a run; infinity where they cannot be read."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return float(files.read_json(workdir / "results.json")["epochs"])
    return float("inf")


def what_is_wrong(workdir):
    """List the files of a finished run that are not what the run has made.

    A run of a version that wrote no checksums must have an encoder and results that
    can be read.

    Returns:
        `{name: problem}`.

    Raises:
        OSError: For a failure to read one, which may pass.
    """
    known = {}
    with contextlib.suppress(ValueError, KeyError, TypeError):
        known = dict(files.read_json(workdir / FILE)["sha256"])
    problems = {}
    for name in MADE:
        found = files.checksum(workdir / name)
        if found is None and name in (known or ("encoder.keras", *MADE[3:])):
            problems[name] = "is missing"
        elif name in known and found != known[name]:
            problems[name] = "has changed"
    name = "encoder.keras"
    if not known and name not in problems and not _is_archive(workdir / name):
        problems[name] = "is no whole file"
    if "results.json" not in problems:
        try:
            files.read_json(workdir / "results.json")
        except ValueError:
            problems["results.json"] = "is no whole file"
    return problems


class Writes:
    """Files that must not be lost: what cannot be written is tried again at the end."""

    def __init__(self):
        self._left = {}

    def write(self, path, write):
        """Write a file by a function of a path, now or in `try_again`."""
        try:
            with files.atomic_write(path) as unfinished:
                write(unfinished)
        except OSError as error:
            warnings.warn(f"{error}. It is tried again at the end.", stacklevel=2)
            self._left[path] = write

    def write_json(self, path, content):
        """Write a dict as JSON."""
        text = files.json_text(content, indent=2) + "\n"
        self.write(path, lambda unfinished: unfinished.write_text(text, "utf-8"))

    def try_again(self):
        """Write what is left.

        Raises:
            OSError: For what cannot be written now either.
        """
        errors = []
        for path, write in self._left.items():
            try:
                with files.atomic_write(path) as unfinished:
                    write(unfinished)
            except OSError as error:
                errors.append(error)
        if errors:
            raise OSError(
                "The training is over, but not all that it made could be written. Make "
                "room, and start the same again: it is made of the last checkpoint. "
                f"Received: {'; '.join(map(str, errors))}"
            ) from errors[0]


def _is_archive(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError):
        return False
