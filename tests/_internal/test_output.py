import io
import os
import subprocess
import sys

import pytest

import helpers
from keras_mvssl._internal.output import output_may_fail

LINUX = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="It needs Linux.")


class Stream:
    """A text stream on which there is room only sometimes."""

    encoding = "utf-8"

    def __init__(self, error):
        self.error, self.text = error, ""

    def write(self, text):
        if self.error is not None:
            raise self.error
        self.text += text
        return len(text)

    def flush(self):
        self.write("")


def test_one_warning_and_what_is_written_when_there_is_room(monkeypatch):
    stream = Stream(OSError(28, "No space left on device"))
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.warns(match="goes on. .*No space") as told, output_may_fail():
        with output_may_fail():
            print("lost", flush=True)
        print("lost")
        assert sys.stdout.encoding == "utf-8"
        stream.error = None
        print("there")
    assert stream.text == "there\n" and len(told) == 1 and sys.stdout is stream


def test_letters_that_the_output_does_not_have_are_replaced(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with output_may_fail():
        print("runs/ré", flush=True)
        assert raw.getvalue() == b"runs/r?\n"


def test_a_program_without_an_output(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with output_may_fail():
        print("nowhere", flush=True)
        assert not sys.stdout.isatty()
    assert sys.stdout is None


def test_other_errors_are_raised(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Stream(KeyError("mine")))
    with pytest.raises(KeyError), output_may_fail():
        print("words")


PROGRAM = """
import sys
from keras_mvssl._internal.output import output_may_fail
with output_may_fail():
    for i in range(10_000):
        print("words", i)
sys.stderr.write("to the end")
"""


@LINUX
@pytest.mark.parametrize("where", ["/dev/full", "a pipe that nobody reads"])
def test_a_program_goes_on(where):
    if where == "/dev/full":
        command = f"{sys.executable} -c '{PROGRAM}' > /dev/full"
    else:
        command = f"{sys.executable} -c '{PROGRAM}' | true; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": helpers.PATHS}
    ran = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment
    )
    assert "to the end" in ran.stderr
    assert ran.returncode == 0
