"""Start of the command of the package: its subcommands and its exit codes."""

import os
import sys
import traceback

from keras_mvssl.callbacks import DivergenceError
from keras_mvssl.command import embed
from keras_mvssl.command import evaluate
from keras_mvssl.command import list_recipes
from keras_mvssl.command import pretrain
from keras_mvssl.command import write_report
from keras_mvssl.command.parser import Parser
from keras_mvssl.command.parser import UsageError
from keras_mvssl.command.parser import nearest
from keras_mvssl.command.parser import with_flagfiles
from keras_mvssl.training.stopping import stop_outside_of_training

PROGRAM = "keras-mvssl"
# Modules with a function `add` for the flags, and `start` for the work.
COMMANDS = {
    "pretrain": pretrain,
    "evaluate": evaluate,
    "embed": embed,
    "report": write_report,
    "recipes": list_recipes,
}


@stop_outside_of_training(ends_process=True)
def main(argv: list[str] | None = None) -> int:
    """Run `keras-mvssl` with arguments, by default those of the process.

    Returns:
        0, 1 for an error, or 2 for a mistake in the arguments. A process that was
        stopped by a signal, with what it has trained saved, ends with code 75.

    Example:
    ```python
    keras_mvssl.command.main(["recipes"])
    ```
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments = parse(argv)
    except UsageError as error:
        return _tell(error, 2)
    try:
        COMMANDS[arguments.command].start(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # Who reads, such as `head`, wants no more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, DivergenceError) as error:
        if arguments.verbose:
            traceback.print_exc()
        return _tell(error, 2 if isinstance(error, UsageError) else 1)
    return 0


def parse(argv):
    """Return the values of the arguments, as `argparse.Namespace`.

    Raises:
        UsageError: For arguments that are unknown, missing or of another type.
    """
    top = Parser(PROGRAM, _overview(), usage=f"{PROGRAM} COMMAND [flags]")
    subparsers = top.add_subparsers(dest="command", prog=PROGRAM)
    parsers = {name: subparsers.add_parser(name) for name in COMMANDS}
    for name, parser in parsers.items():
        parser.description = _summary(name)
        COMMANDS[name].add(parser)
        parser.add_common()
    top.add_common()
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        guess = nearest(argv[0], list(COMMANDS))
        top.error(f"unknown command {argv[0]}{guess or '; see --help'}")
    values, unknown = top.parse_known_args(with_flagfiles(argv))
    if values.command is None:
        top.refuse(unknown)
        top.error(f"a command is missing: {', '.join(COMMANDS)}; see --help")
    parsers[values.command].refuse(unknown)
    return values


def _summary(name):
    return (COMMANDS[name].add.__doc__ or "").strip()


def _overview():
    lines = ["Visual features from images without labels. Commands:"]
    lines += [f"  {name:12}{_summary(name)}" for name in COMMANDS]
    lines += [f"{PROGRAM} COMMAND --help lists the flags of a command."]
    return "\n".join(lines)


def _tell(error, code):
    print(" ".join(str(error).split()), file=sys.stderr, flush=True)
    return code
