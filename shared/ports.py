"""Free TCP ports on loopback, and the way to an address that somebody named: straight there."""

import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"

STRAIGHT = ("grpc.enable_http_proxy", 0)
"""A gRPC channel's option: the environment's proxy is for the web, not for an address that somebody named."""


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on at this moment."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
