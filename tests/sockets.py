"""Sockets on which processes listen, as Linux tells."""

import contextlib
import ipaddress
import os
import pathlib
import socket
import sys


def listening(*processes):
    """The addresses and ports on which some processes listen, `[(address, port)]`."""
    inodes = set()
    for process in processes:
        for link in pathlib.Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed by now
                inodes.add(os.readlink(link))
    found = []
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and f"socket:[{cells[9]}]" in inodes:
                host, port = cells[1].split(":")
                found.append((_address(host), int(port, 16)))
    return found


def _address(digits):
    """The address of words of 32 bits, which Linux writes in the machine's order."""
    words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    address = ipaddress.ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address


def free_ports(count):
    """Ports of the loopback that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]
