#!/bin/bash
# JAX: after `jax.distributed.initialize`, a SIGTERM handler that the program set before is never called. The preemption
# service, on by default, takes the signal in C++, and the process goes on, while `signal.getsignal` still names the
# program's own handler. A training that saves its state at SIGTERM is so killed without having saved, on any job that
# has more than one process, and on none that has one. SIGINT and SIGHUP are left alone; a handler set after the call
# is called; with JAX_ENABLE_PREEMPTION_SERVICE=false the one set before is, too.
# Seen: before `initialize` "called", after it "not called, getsignal names it", set again "called", service off "called".
# jax 0.10.2, jaxlib 0.10.2, Python 3.11, Linux, CPU; 2026-11-30. The script fails if one of these changes.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install -q jax==0.10.2 jaxlib==0.10.2
cat > try.py <<'P'
import os
import signal
import socket
import sys
import time

import jax

heard = []


def handle(number, frame):
    heard.append(number)


def is_called(number):
    heard.clear()
    os.kill(os.getpid(), number)
    end = time.monotonic() + 3
    while not heard and time.monotonic() < end:
        time.sleep(0.05)
    return bool(heard)


for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, handle)
found = [is_called(signal.SIGTERM)]
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
jax.distributed.initialize(address, num_processes=1, process_id=0)
found += [is_called(signal.SIGTERM), is_called(signal.SIGHUP)]
assert signal.getsignal(signal.SIGTERM) is handle
signal.signal(signal.SIGTERM, handle)
found += [is_called(signal.SIGTERM)]
print("SIGTERM before, SIGTERM and SIGHUP after, SIGTERM set again:", *found, flush=True)
expected = [True, sys.argv[1] == "off", True, True]
os._exit(0 if found == expected else 1)
P
JAX_PLATFORMS=cpu venv/bin/python try.py on
JAX_PLATFORMS=cpu JAX_ENABLE_PREEMPTION_SERVICE=false venv/bin/python try.py off
