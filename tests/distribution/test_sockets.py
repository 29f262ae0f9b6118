"""Jobs on one machine listen on its loopback only, and leave nothing behind."""

import contextlib
import ipaddress
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import keras
import pytest

import helpers
import sockets
from keras_mvssl import distribution
from keras_mvssl.distribution import launch
from keras_mvssl.distribution import loopback

BACKEND = keras.backend.backend()
SCRIPT = helpers.ROOT / "tests/programs/listen.py"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
torch = pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's own")


def said(text, word):
    """The rests of the lines that begin with a word."""
    lines = [line.partition(" ") for line in text.splitlines()]
    return [rest for first, _, rest in lines if first == word]


def check_loopback(text, least):
    addresses = said(text, "listens")
    assert len(addresses) >= least
    assert all(ipaddress.ip_address(x).is_loopback for x in addresses), addresses


@linux
def test_sockets_are_read():
    with sockets.socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = sockets.listening(os.getpid())
    assert (ipaddress.ip_address("127.0.0.1"), port) in found


@linux
@pytest.mark.slow
def test_one_machine_listens_on_the_loopback(monkeypatch):
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    result = helpers.run_script(SCRIPT)
    assert result.returncode == 0, result.stderr
    processes = 2 if BACKEND == "torch" else 1
    assert said(result.stdout, "interface") == ["lo"] * processes
    check_loopback(result.stdout, least=processes - 1)
    folders = set(said(result.stdout, "folder"))
    if BACKEND == "torch":
        (folder,) = folders
        mode, path = folder.split(" ", 1)
        assert mode == "0o700" and not pathlib.Path(path).exists()


def test_interfaces_of_the_user_stay(monkeypatch):
    environment = {"GLOO_SOCKET_IFNAME": "eth7"}
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(
        loopback.socket, "if_nameindex", lambda: [(1, "lowpan0"), (2, "lo0")]
    )
    loopback.stay_on_loopback()
    assert environment == {"GLOO_SOCKET_IFNAME": "eth7", "NCCL_SOCKET_IFNAME": "=lo0"}


@pytest.mark.parametrize(
    "address, expected",
    [
        ("localhost:80", True),
        ("127.0.1.1:80", True),
        ("[::1]:80", True),
        ("10.0.0.1:80", False),
        ("host1:80", False),
        ("", False),
    ],
)
def test_addresses_of_the_loopback(address, expected):
    assert loopback.is_loopback(address) is expected


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's own")
@pytest.mark.parametrize(
    "addresses, bound", [("localhost:1,localhost:2", "localhost:1"), ("host:1", None)]
)
def test_where_jax_is_told_to_listen(monkeypatch, addresses, bound):
    from jax._src.lib import _jax

    told = []
    monkeypatch.setattr(_jax, "make_gloo_tcp_collectives", lambda **kw: told.append(kw))
    monkeypatch.setattr(
        keras.distribution,
        "initialize",
        lambda: told.append(os.environ.get(loopback.BIND_ADDRESS)),
    )
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", addresses)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "lo")
    loopback.start_jax_processes()
    _jax.make_gloo_tcp_collectives()
    assert told == [bound, {"hostname": "127.0.0.1"} if bound else {}]
    assert loopback.BIND_ADDRESS not in os.environ
    monkeypatch.setenv(loopback.BIND_ADDRESS, "0.0.0.0:1")  # as the user wants it
    loopback.start_jax_processes()
    assert told[-1] == os.environ[loopback.BIND_ADDRESS] == "0.0.0.0:1"


@linux
@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="JAX's own")
def test_processes_of_jax_listen_on_the_loopback():
    addresses = ",".join(f"localhost:{port}" for port in sockets.free_ports(2))
    jobs = [
        started(
            KERAS_DISTRIBUTION_JOB_ADDRESSES=addresses,
            KERAS_DISTRIBUTION_NUM_PROCESSES="2",
            KERAS_DISTRIBUTION_PROCESS_ID=str(index),
        )
        for index in range(2)
    ]
    with jobs[0] as first, jobs[1] as second:
        # The coordinator, and what each has for the other.
        check_loopback(first.communicate(timeout=200)[0], least=2)
        check_loopback(second.communicate(timeout=200)[0], least=1)
        assert first.returncode == second.returncode == 0


@torch
@pytest.mark.parametrize(
    "codes, expected",
    [
        ("00", 0),
        ("0K", 75),
        ("30", "Process 0 of 2 ended with code 3;"),
        ("3K", "Process 0 of 2 ended with code 3;"),  # stopped because of the other
        ("3S", 75),  # the other could not reach it any more
    ],
)
def test_launcher_ends_as_its_processes_do(monkeypatch, tmp_path, codes, expected):
    """It tells each of them its rank, and its folder is gone in the end."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, signal, sys, time\n"
        "here = [os.environ[x] for x in ('LOCAL_RANK', 'LOCAL_WORLD_SIZE')]\n"
        "assert here == [os.environ[x] for x in ('RANK', 'WORLD_SIZE')]\n"
        "folder = os.environ['KERAS_MVSSL_JOB_FOLDER']\n"
        "assert os.stat(folder).st_mode & 0o777 == 0o700\n"
        "rank = int(here[0])\n"
        "code = sys.argv[1][rank]\n"
        "stopped = pathlib.Path(folder) / 'stopped'\n"
        "if code == 'S':\n"
        "    stopped.touch()\n"
        "while rank == 0 and 'S' in sys.argv[1] and not stopped.exists():\n"
        "    time.sleep(0.01)\n"
        "if rank and code in 'KS' and sys.argv[1][0] != '0':\n"
        "    signal.signal(signal.SIGTERM, lambda *_: os._exit(75))\n"
        "    time.sleep(60)\n"
        "sys.exit(75 if code == 'K' else int(code))\n"
    )
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", str(script), raising=False)
    monkeypatch.setattr(main, "__spec__", None)
    monkeypatch.setattr(sys, "argv", [str(script), codes])
    folders = tmp_path / "folders"
    folders.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folders))
    with pytest.raises(SystemExit) as end:
        launch.start(2)
    code = end.value.code
    assert code == expected or code.startswith(expected)
    assert not list(folders.iterdir())


@torch
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_their_launcher(number, tmp_path):
    """Whoever stops it; and asked to stop, it ends as a run that can go on."""
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("Linux's own")
    # A launcher that is killed leaves its folder.
    with started("sleep", TMPDIR=str(tmp_path)) as job:
        lines = (line for line in job.stdout if line.startswith("ready "))
        workers = [int(next(lines).split()[1]) for _ in range(2)]
        job.send_signal(number)
        job.communicate(timeout=60)  # until the last of them ends
    killed = number == signal.SIGKILL
    assert job.returncode == (-number if killed else distribution.INTERRUPTED_EXIT_CODE)
    for worker in workers:
        until = time.monotonic() + 20
        while pathlib.Path(f"/proc/{worker}").exists():
            assert time.monotonic() < until
            time.sleep(0.1)


@contextlib.contextmanager
def started(*arguments, **environment):
    """The program, started. If it is still there, it is killed, and its workers end."""
    job = subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        env={**os.environ, "PYTHONPATH": helpers.PATHS, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield job
    finally:
        job.kill()
        job.wait()
        job.stdout.close()
