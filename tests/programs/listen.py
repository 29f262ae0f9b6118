"""Starts a job of several devices, and prints on what its processes listen.

python listen.py [sleep]: the processes may sleep on, and end with 75 at SIGTERM.
"""

import os
import pathlib
import signal
import sys
import time

import sockets
from keras_mvssl import distribution
from keras_mvssl.distribution import launch


def main(end=""):
    several = "KERAS_DISTRIBUTION_NUM_PROCESSES" in os.environ
    distribution.data_parallel(None if several else 2)
    distribution.max_over_processes(1)  # They connect now, if they have not before.
    processes = [os.getpid()]
    if launch.FOLDER in os.environ:
        processes.append(os.environ[launch.LAUNCHER])
        folder = pathlib.Path(os.environ[launch.FOLDER])
        print("folder", oct(folder.stat().st_mode & 0o777), folder, flush=True)
    for address, _ in sockets.listening(*processes):
        print("listens", address, flush=True)
    print("interface", os.environ.get("GLOO_SOCKET_IFNAME"), flush=True)
    if end == "sleep":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
        print("ready", os.getpid(), flush=True)
        time.sleep(120)


if __name__ == "__main__":
    main(*sys.argv[1:])
