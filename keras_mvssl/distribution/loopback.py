"""Sockets of a job on one machine: of the loopback interface, which no other reaches.

By default the libraries that exchange tensors listen on an address of the network, and
trust whoever connects.
"""

import contextlib
import functools
import ipaddress
import os
import socket
import warnings

import keras

BIND_ADDRESS = "JAX_COORDINATOR_BIND_ADDRESS"


def stay_on_loopback():
    """Have gloo and NCCL use the loopback interface, unless the user has set another.

    Both read the environment when they first connect. NCCL connects the GPUs of one
    process by sockets, too.
    """
    names = {name for _, name in socket.if_nameindex()}
    # Linux calls it lo, macOS and BSD lo0.
    for name in ("lo", "lo0"):
        if name in names:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            # NCCL takes a name as the beginning of one, without the "=".
            os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={name}")
            return


def start_jax_processes():
    """Connect the processes of JAX as the environment says, see `data_parallel`.

    If the address of the first process is of the loopback, all are on this machine, and
    listen on the loopback only. JAX 0.10 listens on all addresses by default.
    """
    addresses = os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES")
    first = (addresses or os.environ.get("JAX_COORDINATOR_ADDRESS", "")).split(",")[0]
    if not is_loopback(first):
        keras.distribution.initialize()
        return
    stay_on_loopback()
    _keep_gloo_of_jax_on_loopback()
    own = BIND_ADDRESS in os.environ
    os.environ.setdefault(BIND_ADDRESS, first)
    try:
        keras.distribution.initialize()
    finally:
        if not own:  # Programs that this one starts may be of other jobs.
            del os.environ[BIND_ADDRESS]


def is_loopback(address):
    """Return whether the host of an address `host:port` is this machine's loopback."""
    host = address.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _keep_gloo_of_jax_on_loopback():
    """Give JAX's gloo the address that it would take from the name of this machine.

    JAX has no setting for it, nor does its gloo read the environment.
    """
    try:
        from jax._src.lib import _jax

        make = _jax.make_gloo_tcp_collectives
    except (ImportError, AttributeError) as error:  # a private part of JAX
        warnings.warn(
            "Processes of JAX on CPUs listen on the network: this version of JAX "
            f"cannot be kept on the loopback. {error}",
            stacklevel=2,
        )
        return
    _jax.make_gloo_tcp_collectives = functools.partial(make, hostname="127.0.0.1")
