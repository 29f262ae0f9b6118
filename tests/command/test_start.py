"""The command: usage errors, help, exit codes."""

import os
import subprocess
import sys
import types

import pytest

import helpers
from keras_mvssl import command
from keras_mvssl.command import list_recipes
from keras_mvssl.command import recipe_files
from keras_mvssl.command import start
from keras_mvssl.distribution import launch


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("", "a command is missing"),
        ("pretrian data", "did you mean pretrain?"),
        ("pretrain", "DATA is missing"),
        ("pretrain data --bacth_size=3", "--bacth_size; did you mean --batch_size?"),
        ("pretrain data --views=two", "--views: invalid int value: 'two'"),
        ("pretrain data --augment=gpu", "invalid choice: 'gpu'"),
        ("pretrain data --views=1", "at least 2. Received: views=1"),
        ("pretrain no/such", "Received: no/such"),
        ("pretrain . --image_size=0", "at least 1. Received: image_size=0"),
        ("pretrain . --resume=must --workdir=x", "resume='must', workdir=x"),
        ("pretrain . --workdir=gs://x", "Received: workdir=gs://x"),
        ("pretrain . --fraction=2", "Received: fraction=2.0"),
        ("pretrain . --init=no.keras", "Received: --init=no.keras"),
        ("pretrain . --beta=high", "must be a number or auto. Received: 'high'"),
        ("pretrain . --verbose=True", "--verbose: takes no value: 'True'"),
        ("--epochs=1 pretrain .", "--epochs must come after the command"),
        ("pretrain a b", "more arguments than expected: b"),
        ("pretrain --recipe=cifr10", "did you mean cifar10?"),
        ("pretrain shapes --settings=authors", "no settings of the authors"),
        ("pretrain shapes --flagfile=none", "Received: --flagfile=none"),
        ("report", "WORKDIR"),
        ("evaluate no.keras shapes", "Received: ENCODER=no.keras"),
        ("embed . shapes", "required: --out"),
        ("embed . shapes --out=x.txt", "Received: --out=x.txt"),
        ("embed . shapes --out=no/x.csv", "Received: --out=no/x.csv"),
        ("evaluate . shapes --out=no/x.json", "Received: --out=no/x.json"),
    ],
)
def test_usage_errors_are_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command.main(arguments.split()) == 2
    out, errors = capsys.readouterr()
    assert message in errors and errors.count("\n") == 1 and not out
    assert not list(tmp_path.iterdir())


def test_errors_of_the_package(tmp_path, capsys):
    arguments = ["report", str(tmp_path)]
    assert command.main(arguments) == 1
    assert capsys.readouterr().err.endswith(f"Received: workdir={tmp_path}\n")
    assert command.main([*arguments, "--verbose"]) == 1
    assert capsys.readouterr().err.startswith("Traceback")


def test_a_reader_may_stop_reading():
    command = [sys.executable, "-m", "keras_mvssl", "recipes"]
    environment = {**os.environ, "PYTHONPATH": helpers.PATHS}
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as output:
        result = subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, env=environment
        )
    assert result.returncode == 0 and b"Broken pipe" not in result.stderr


@pytest.mark.parametrize("name", ["", *start.COMMANDS])
def test_help_is_short(name, capsys):
    for flag in ("--help", "-h", "--helpfull"):
        with pytest.raises(SystemExit) as end:
            command.main([*filter(None, [name]), flag])
        lines = capsys.readouterr().out.splitlines()
        assert not end.value.code and max(map(len, lines)) <= 80
        if flag != "--helpfull":
            assert len(lines) <= 60
    if name == "pretrain":
        assert [x for x in lines if x.endswith(":") and x[0] != " "] == [
            *("data:", "views:", "model:", "loss:", "optimisation:", "watching:"),
            *("where:", "help:"),
        ]
        assert any("biases and batch normalisation" in line for line in lines)


def test_a_flagfile(tmp_path):
    path = tmp_path / "flags"
    path.write_text("# of a search\n--views=8\n\n--beta=auto\n--verbose\n")
    argv = ["pretrain", "shapes", "--views=2", f"--flagfile={path}", "--beta=3"]
    values = start.parse(argv)
    assert (values.views, values.beta, values.verbose) == (8, 3.0, True)
    path.write_text(f"--flagfile={path}\n")
    assert command.main(argv) == 2


def test_recipes_are_listed_with_what_was_measured(capsys):
    assert command.main(["recipes"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "4 epochs, for 2, 4, 8 views" in out and "The run reaches 80.5 %" in out
    assert out.count("not yet run") >= 3
    for name in recipe_files.NAMES:
        assert f"{name}: " in out and recipe_files.read(name).measured
    assert list_recipes.start(None) is None


# Runs a recipe that is told to stop, and never ends by itself.
STOPPED = """
import os, signal, time
from keras_mvssl import command
from keras_mvssl.training import command_line


def run(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


command_line.run = run
command.main(["pretrain", "shapes"])
"""


def test_a_command_that_is_stopped_ends_with_75(tmp_path):
    assert helpers.run_script("-c", STOPPED, cwd=tmp_path).returncode == 75


def test_as_a_module(tmp_path):
    result = helpers.run_script("-m", "keras_mvssl", "reprot", cwd=tmp_path)
    assert result.returncode == 2 and "did you mean report?" in result.stderr
    assert helpers.run_script("-m", "keras_mvssl", "recipes").returncode == 0


@pytest.mark.parametrize(
    "module, again",
    [
        ("keras_mvssl.__main__", ["-m", "keras_mvssl", "pretrain"]),
        ("pytest.__main__", None),
        (None, ["program", "pretrain"]),
    ],
)
def test_what_several_processes_run_again(module, again, monkeypatch):
    monkeypatch.setattr("sys.argv", ["program", "pretrain"])
    spec = module and types.SimpleNamespace(name=module)
    main = types.SimpleNamespace(__file__="program", __spec__=spec)
    assert launch._command(main) == again
