"""Record of the files of a folder that are left out, or not read as they are."""

import errno
import re
import sys
import threading
from typing import NamedTuple

MAX_SUFFIXES_TOLD = 8
# Errors of the system that lie in a file; all others may pass. Pillow's have no number.
LASTING = {
    *(None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EFBIG),
    *(errno.ERANGE, errno.EDOM, errno.EOVERFLOW),
}
PLURAL = re.compile(r"\b(file|folder|image|link)s\b")


class Kind(NamedTuple):
    """Kind of files, and of what happened to them.

    Attributes:
        heading: What was done, such as `"Left out"`.
        text: Which files these are, in the plural.
    """

    heading: str
    text: str


OTHER_SUFFIXES = Kind("Left out", "files with other suffixes")
HIDDEN_FILES = Kind("Left out", "hidden files")
HIDDEN_FOLDERS = Kind("Left out", "hidden folders")
REPEATED_FILES = Kind("Left out", "links to files that are read already")
REPEATED_FOLDERS = Kind("Left out", "links to folders that are read already")
BESIDE_PARTS = Kind("Left out", "images beside the folder `train`")
OTHER_CLASSES = Kind("Left out", "folders of other classes")
PAGES = Kind("Read in part", "files of several pages or frames, the first one of each")
CHANNELS = Kind("Read in part", "files of more channels, the first ones of each")
SHRUNK = Kind("Changed", "JPEG files of many pixels, decoded smaller")
TRANSPARENT = Kind("Changed", "files with transparent parts, laid over white")
DARK = Kind("Changed", "dark color files of 16 bits, of which the lower 8 are lost")
INVERTED = Kind("Changed", "gray files of 16 bits whose zero is white, inverted")


def gray_of(bits):
    """Return the kind of gray files whose brightest pixel needs so many bits."""
    return Kind("Changed", f"deep gray files, scaled from {bits} bits to 8")


class FolderRecord:
    """Policy for files that cannot be read, and the record of what was not read.

    Args:
        policy: `"error"` or `"skip"`, for files that cannot be read.

    Attributes:
        found: A line for each file or folder that could not be read, with the reason.
    """

    def __init__(self, policy):
        self.policy = policy
        self.found = []
        self._notes = {}
        self._is_told = False
        self._lock = threading.Lock()  # A stream decodes in several threads.

    def handle(self, error):
        """Raise the error of what cannot be read, or record a ValueError in `found`."""
        if not isinstance(error, ValueError):
            raise error
        if self.policy == "error":
            error.add_note("on_bad_image='skip' leaves such files out.")
            raise error
        with self._lock:
            if str(error) not in self.found:
                self.found.append(str(error))

    def note(self, kind, path):
        """Count a file or folder of a kind. After `tell`, print the first of a kind."""
        with self._lock:
            is_new = kind not in self._notes
            count, first, suffixes = self._notes.get(kind, (0, path, set()))
            self._notes[kind] = count + 1, first, suffixes | {path.suffix.lower()}
        if is_new and self._is_told:
            say(f"{kind.heading}: {kind.text} (first {path}).")

    def tell(self):
        """Print one line that says what was left out, read in part or changed."""
        self._is_told = True
        lines = {}
        if self.found:
            first, count = self.found[0].rpartition("Received: ")[2], len(self.found)
            what = "files or folders" if count > 1 else "file or folder"
            lines["Left out"] = [f"{count} {what} that cannot be read (first {first})"]
        for kind, (count, first, suffixes) in self._notes.items():
            named = ""
            if kind is OTHER_SUFFIXES:
                listed = sorted(suffix or "none" for suffix in suffixes)
                more = ["..."] if len(listed) > MAX_SUFFIXES_TOLD else []
                named = ", ".join(listed[:MAX_SUFFIXES_TOLD] + more) + "; "
            text = kind.text if count > 1 else PLURAL.sub(r"\1", kind.text, count=1)
            line = f"{count} {text} ({named}first {first})"
            lines.setdefault(kind.heading, []).append(line)
        if lines:
            told = (
                f"{heading}: {', '.join(those)}." for heading, those in lines.items()
            )
            say(" ".join(told))


def unreadable(path, reason):
    """Return the error of a file or folder that cannot be read.

    It is a ValueError where the reason lies in the file, and an OSError where it may
    pass, such as a network disk that does not answer.
    """
    if isinstance(reason, OSError) and reason.errno not in LASTING:
        return OSError(reason.errno, reason.strerror, str(path))
    return ValueError(f"An image cannot be read: {reason}. Received: {printable(path)}")


def printable(path):
    """Return a path as text, with a mark for what is not UTF-8 or not to be printed."""
    text = str(path).encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def say(text):
    """Print a line, with a mark in place of letters that the output does not have."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(printable(text).encode(encoding, "replace").decode(encoding))
