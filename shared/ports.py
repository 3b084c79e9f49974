"""TCP ports: free ones on loopback, why one cannot be had, and the way to a named address: straight there."""

import errno
import socket
from contextlib import ExitStack
from types import MappingProxyType

LOOPBACK = "127.0.0.1"

STRAIGHT = ("grpc.enable_http_proxy", 0)
"""A gRPC channel's option: the environment's proxy is for the web, not for an address that somebody named."""


_WHY_NOT = MappingProxyType(
    {
        errno.EADDRINUSE: "the port is in use; stop what holds it, or choose another one (0: any free one)",
        errno.EACCES: "not permitted; ports below 1024 need a privilege, choose a higher one",
        errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 listens on all interfaces",
    }
)


def why_not_listening(error: OSError) -> str:
    """Why an address cannot be listened at, and what to do, as the end of a sentence that names it."""
    return _WHY_NOT.get(error.errno or 0, error.strerror or str(error))


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on at this moment."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
