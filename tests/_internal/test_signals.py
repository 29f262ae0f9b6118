"""Signals end a process with code 75, wherever it is, unless they are ignored."""

import os
import signal
import subprocess
import sys
import time

import pytest

import helpers
from keras_mvssl._internal import signals

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
# The module needs nothing but Python, so that a process starts at once.
START = f"""
import ctypes, importlib.util, os, signal, sys, threading, time
path = {str(helpers.ROOT / "keras_mvssl/_internal/signals.py")!r}
spec = importlib.util.spec_from_file_location("signals", path)
signals = sys.modules["signals"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(signals)

def wait_in_c():
    threading.Timer(0.3, ready).start()
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)  # forever: signals do not interrupt it

def stop(name):
    print("asked by", name)
    sys.exit(75)

def ready():
    print("ready", flush=True)
"""


def run(code, *numbers, pause=0.0, ignored=()):
    """Send signals to a process once it is ready; return its code and output."""
    job = subprocess.Popen(
        helpers.ignoring(ignored, sys.executable, "-c", START + code),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for line in job.stdout:
            if line == "ready\n":
                break
        for number in numbers:
            job.send_signal(number)
            time.sleep(pause)
        output, _ = job.communicate(timeout=60)
    finally:
        job.kill()
        job.wait()
        job.stdout.close()
    return job.returncode, output


@pytest.mark.parametrize("name", signals.NAMES)
def test_the_function_is_called(name):
    code = "with signals.on_signals(stop): ready(); time.sleep(60)"
    assert run(code, getattr(signal, name)) == (75, f"asked by {name}\n")


def test_a_process_that_waits_in_c_ends():
    """Python runs no handler there."""
    waits = "with signals.on_signals(stop, {}): wait_in_c()"
    for limit in ("limit=0.3", "deaf_limit=0.3"):
        begin = time.monotonic()
        code, output = run(waits.format(limit), signal.SIGTERM)
        assert code == 75 and "without waiting any longer" in output
        assert time.monotonic() - begin < 15


def test_a_second_signal_ends_it_at_once():
    code = "with signals.on_signals(lambda name: None): wait_in_c()"
    code, output = run(code, signal.SIGINT, signal.SIGTERM, pause=1.5)
    assert code == 75 and "a second signal, SIGTERM" in output


def test_signals_at_the_same_time_are_one():
    """Who stops a job signals all processes, and its launcher passes the signal on."""
    code = "with signals.on_signals(print): ready(); time.sleep(3); print('saved')"
    # No one else has acted on it, so it is as if there had been no context.
    code, output = run(code, signal.SIGTERM, signal.SIGTERM, pause=0.2)
    assert (code, output) == (-signal.SIGTERM, "SIGTERM\nsaved\n")


def test_an_exception_that_python_drops_is_raised_again():
    code = """
class Lost:
    def __del__(self):
        ready()
        time.sleep(60)

with signals.on_signals(stop):
    lost = Lost()
    del lost
    time.sleep(60)
"""
    assert run(code, signal.SIGTERM) == (75, "asked by SIGTERM\n" * 2)


def test_an_exception_that_a_library_drops_does_not_keep_the_process():
    code = """
with signals.on_signals(stop, limit=0.5):
    try:
        ready()
        time.sleep(60)
    except BaseException:
        time.sleep(60)
"""
    code, output = run(code, signal.SIGTERM)
    assert code == 75 and "without waiting any longer" in output


def test_a_signal_that_came_late_is_for_the_outer_context():
    code = """
with signals.on_signals(stop):
    with signals.on_signals(print):
        ready()
        time.sleep(1)
    print("never")
"""
    assert run(code, signal.SIGHUP) == (75, "SIGHUP\nasked by SIGHUP\n")


def test_the_end_itself_takes_no_longer_than_the_limit():
    code = """
import atexit
atexit.register(wait_in_c)
with signals.on_signals(stop, limit=0.5, ends_process=True): ready(); time.sleep(60)
"""
    code, output = run(code, signal.SIGTERM)
    assert code == 75 and output.startswith("asked by SIGTERM\n")


@pytest.mark.parametrize("name", signals.NAMES)
def test_what_is_ignored_stays_ignored(name):
    """As SIGHUP is under nohup, and SIGINT in jobs that a shell starts with an &."""
    number = getattr(signal, name)
    code = "with signals.on_signals(stop): ready(); time.sleep(0.5); print('done')"
    assert run(code, number, ignored=[number]) == (0, "done\n")


def test_children_of_fork_can_be_stopped():
    """A pool of processes that a callback has started would wait for them forever."""
    code = """
with signals.on_signals(lambda name: None):
    child = os.fork()
    if not child:
        time.sleep(30)
        os._exit(1)
    ready()
    time.sleep(0.3)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(code) == (0, f"{-signal.SIGTERM}\n")


def test_handlers_are_as_before():
    numbers = [getattr(signal, name) for name in signals.NAMES]
    before = [signal.getsignal(number) for number in numbers]
    wakeup, hook = signal.set_wakeup_fd(-1), sys.unraisablehook
    signal.set_wakeup_fd(wakeup)
    with signals.on_signals(print), signals.on_signals(print):
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.set_wakeup_fd(wakeup) == wakeup and sys.unraisablehook is hook
