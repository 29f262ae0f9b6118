"""Parser of a command: flags in groups, short and full help, and usage errors."""

import argparse
import dataclasses
import difflib
import pathlib
import re
import textwrap
from typing import Any

from keras_mvssl.training.fields import kinds_of

WIDTH = 79  # columns of the help
COLUMN = 27  # columns of flags beside their explanations


class UsageError(ValueError):
    """Mistake in a command line: exit code 2."""


class Parser(argparse.ArgumentParser):
    """Parser whose flags are in groups, and which names the nearest flag.

    Args:
        prog: What the user types to start the command.
        description: Text above the flags in the help.
    """

    def __init__(self, prog: str, description: str = "", **kwargs: Any):
        kwargs |= dict(add_help=False, allow_abbrev=False)
        super().__init__(prog=prog, description=description, **kwargs)
        self.groups: dict[str, list[argparse.Action]] = {}
        self.positions: list[argparse.Action] = []

    @property
    def flags(self) -> list[str]:
        """The names of all flags, each with its two hyphens."""
        actions = [action for group in self.groups.values() for action in group]
        return [name for action in actions for name in action.option_strings]

    def position(self, name: str, help: str, **kwargs: Any) -> None:
        """Add an argument that is known by its position."""
        action = self.add_argument(name.lower(), metavar=name, **kwargs)
        action.help = help  # argparse itself would take a % for one of its own.
        self.positions.append(action)

    def flag(self, group: str, name: str, help: str, **kwargs: Any) -> None:
        """Add a flag to a group of the help; None stands for one not given."""
        action = self.add_argument(f"--{name}", **kwargs)
        action.help = help
        self.groups.setdefault(group, []).append(action)

    def switch(self, group: str, name: str, help: str) -> None:
        """Add a flag without a value."""
        self.flag(group, name, help, action="store_const", const=True)

    def add_common(self) -> None:
        """Add the flags of all commands; they come last."""
        if "--verbose" not in self.flags:
            text = "Whether errors are shown with all calls that led to them."
            self.switch("help", "verbose", text)
        self.add_argument("-h", action=_Help, const=False)
        short = "Print the commands or flags, a line for each; also -h."
        self.flag("help", "help", short, action=_Help, const=False)
        full = "Print the flags with all that there is to say about each."
        self.flag("help", "helpfull", full, action=_Help, const=True)

    def error(self, message):
        message = re.sub("ignored explicit argument", "takes no value:", message)
        raise UsageError(f"{self.prog}: {message}")

    def refuse(self, unknown: list[str]) -> None:
        """Raise `UsageError` for arguments that are not known, with the nearest."""
        for argument in unknown:
            if argument.startswith("-"):
                name = argument.partition("=")[0]
                if name in self.flags:
                    self.error(f"{name} must come after the command")
                self.error(f"unknown flag {name}{nearest(name, self.flags)}")
        if unknown:
            self.error(f"more arguments than expected: {' '.join(unknown)}")

    def format_help(self):
        return self.help_text(full=False)

    def help_text(self, full: bool) -> str:
        """Return the help, with a line for each flag or with whole explanations."""
        names = " ".join(
            f"[{action.metavar}]" if action.nargs == "?" else str(action.metavar)
            for action in self.positions
        )
        usage = self.usage or f"{self.prog} {names} [flags]".replace("  ", " ")
        lines = [f"usage: {usage}"]
        lines += [self.description or ""]
        groups = {"": self.positions, **self.groups}
        for group, actions in groups.items():
            lines += [f"{group}:"] if group else []
            for action in actions:
                lines += _described(action, full)
        return "\n".join(line for line in lines if line) + "\n"


class _Help(argparse.Action):
    def __init__(self, **kwargs):
        super().__init__(**kwargs, nargs=0)

    def __call__(self, parser, namespace, values, option_string=None):
        print(parser.help_text(self.const), end="")
        parser.exit()


def _described(action, full):
    """Return the lines of the help on one flag."""
    name = action.option_strings[-1] if action.option_strings else ""
    kind = "|".join(action.choices) if action.choices else action.metavar or ""
    left = "  " + " ".join(filter(None, [name, "" if action.nargs == 0 else kind]))
    if full:
        return [left, textwrap.indent(textwrap.fill(action.help, 73), 6 * " ")]
    first = re.split(r"(?<=\.)\s", action.help)[0]
    left = left.ljust(COLUMN) + "  "
    return [left + textwrap.shorten(first, WIDTH - len(left), placeholder="...")]


def nearest(name: str, known: list[str]) -> str:
    """Return a question for what may be meant by a name, or an empty text."""
    found = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def number_or_auto(text: str) -> float | str:
    """Return the value of a flag that is a number or `auto`."""
    try:
        return text if text == "auto" else float(text)
    except ValueError:
        message = f"must be a number or auto. Received: {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def add_settings(parser: Parser, settings: type) -> None:
    """Add a flag for each field of a dataclass of settings that has a group."""
    for field in dataclasses.fields(settings):
        if field.metadata["group"]:
            help = f"{field.metadata['help']} Default: {field.default}."
            _add_setting(parser, field, help)


def _add_setting(parser, field, help):
    group, (kinds, choices) = field.metadata["group"], kinds_of(field)
    if kinds == [bool]:
        parser.switch(group, field.name, help)
    elif choices and kinds:
        kind = dict(type=number_or_auto, metavar="NUMBER|auto")
        parser.flag(group, field.name, help, **kind)
    elif choices:
        parser.flag(group, field.name, help, choices=choices)
    elif kinds[0] in (int, float):
        kind = dict(type=kinds[0], metavar="INT" if kinds[0] is int else "NUMBER")
        parser.flag(group, field.name, help, **kind)
    else:
        parser.flag(group, field.name, help, metavar="TEXT")


def with_flagfiles(argv: list[str]) -> list[str]:
    """Return arguments with the lines of a file in place of `--flagfile=FILE`."""
    found: list[str] = []
    rest = iter(argv)
    for argument in rest:
        name, separator, path = argument.partition("=")
        if name != "--flagfile":
            found.append(argument)
            continue
        path = path if separator else next(rest, "")
        try:
            lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"A flagfile must be a file of text ({type(error).__name__}). "
                f"Received: --flagfile={path}"
            ) from error
        lines = [line.strip() for line in lines]
        lines = [line for line in lines if line and not line.startswith("#")]
        wrong = [line for line in lines if not re.match(r"--\w+(=|$)", line)]
        if wrong or any(line.startswith("--flagfile") for line in lines):
            raise UsageError(
                "A flagfile holds one flag a line, as --name=value, and no other "
                f"flagfile. Received: --flagfile={path}, with {(wrong or lines)[0]!r}"
            )
        found += lines
    return found
