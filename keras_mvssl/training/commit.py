"""The Git commit of the package, asked without starting what a repository names."""

import functools
import hashlib
import os
import pathlib
import subprocess
import tomllib

PACKAGE = pathlib.Path(__file__).resolve().parents[1]


@functools.cache
def commit() -> str | None:
    """Return the Git commit of the package, as it was at the first call.

    Only a clone of the package's own repository is asked: another one, in which the
    package is installed, says nothing about it.
    """
    root = PACKAGE.parent
    try:
        if not (root / ".git").exists() or not _is_source(root):
            return None
        found = _git(root, "rev-parse", "--verify", "HEAD").strip().decode()
        committed = _files(root, found)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None  # There is no git, no commit, or a damaged file.
    if f"{PACKAGE.name}/__init__.py" not in committed:
        return None
    changed = any(_differs(root / name, id) for name, id in committed.items())
    return f"{found}+changes" if changed else found


def _is_source(root):
    """Return whether a folder is the source tree of this package."""
    with open(root / "pyproject.toml", "rb") as file:
        project = tomllib.load(file).get("project")
    return isinstance(project, dict) and project.get("name") == PACKAGE.name


def _git(root, *command):
    """Return what Git writes, with settings and variables that start no program.

    Git's `status` and `diff` may start the monitors and filters that a repository
    names; the commands that are used here read objects alone.
    """
    settings = {
        "core.fsmonitor": "false",
        "core.hooksPath": os.devnull,
        "protocol.allow": "never",  # Missing objects are not fetched.
    }
    options = [word for pair in settings.items() for word in ("-c", "=".join(pair))]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {
        "GIT_CEILING_DIRECTORIES": str(root.parent),
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }
    return subprocess.run(
        ["git", "--no-pager", "--no-optional-locks", *options, *command],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    ).stdout


def _files(root, commit):
    """Return `{path: id}` of the committed files that numbers may depend on."""
    lines = _git(root, "ls-tree", "-r", "-z", commit, f"{PACKAGE.name}/", "recipes/")
    found = {}
    for line in filter(None, lines.decode("utf-8", "surrogateescape").split("\0")):
        description, name = line.split("\t", 1)
        mode, _, id = description.split()
        is_script = name.startswith("recipes/") and name.endswith(".py")
        if mode.startswith("100") and (name.startswith(PACKAGE.name) or is_script):
            found[name] = id
    return found


def _differs(path, id):
    """Return whether a file differs from the Git object of this id."""
    if not path.is_file():
        return True
    content = path.read_bytes()
    kinds = {40: "sha1", 64: "sha256"}
    # Git may be set to write the ends of lines as Windows does.
    return id not in (
        hashlib.new(
            kinds[len(id)], b"blob %d\0" % len(text) + text, usedforsecurity=False
        ).hexdigest()
        for text in (content, content.replace(b"\r\n", b"\n"))
    )
