"""HOST:PORT as people write it, free ports, why one cannot be had, and the straight way to an address."""

import errno
import ipaddress
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from siftfunnel.shared.showing import without_credentials

LOOPBACK = "127.0.0.1"
MAX_PORT = 65535

STRAIGHT = ("grpc.enable_http_proxy", 0)
"""A gRPC channel's option: the environment's proxy is for the web, not for an address that somebody named."""


_WHY_NOT = MappingProxyType(
    {
        errno.EADDRINUSE: "the port is in use; stop what holds it, or choose another one (0: any free one)",
        errno.EACCES: "not permitted; ports below 1024 need a privilege, choose a higher one",
        errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 listens on all interfaces",
    }
)


@dataclass(frozen=True)
class Endpoint:
    """A host and a TCP port; port 0 lets the system choose.

    Attributes:
        host: name or address, an IPv6 address without brackets.
        port: 0 to 65535.

    Raises:
        ValueError: an empty host or a port out of range.

    Example:
        >>> str(Endpoint.parse("[::1]:50051"))
        '[::1]:50051'
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        if not self.host:
            raise ValueError("an address needs a host before the colon; 0.0.0.0 listens on all interfaces")
        if not 0 <= self.port <= MAX_PORT:
            raise ValueError(f"a port lies in 0 to {MAX_PORT}, not {self.port}")

    @classmethod
    def parse(cls, text: str, default_host: str = "") -> Self:
        """Read HOST:PORT or [IPV6]:PORT.

        Args:
            text: the address.
            default_host: makes PORT alone an address too.

        Raises:
            ValueError: anything else.
        """
        host, colon, port = text.rpartition(":")
        shown = without_credentials(f"//{text}").removeprefix("//")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            ipaddress.IPv6Address(host)
        elif ":" in host and "@" not in host:
            raise ValueError(f"{shown!r}: write an IPv6 address in brackets, as in [::1]:50051")
        plain = port.isascii() and port.isdigit() and not set(host) & set("@/?#")
        if not plain or not (colon or default_host):
            raise ValueError(f"{shown!r} is not HOST:PORT, as in 127.0.0.1:50051")
        return cls(host or default_host, int(port))

    def with_port(self, port: int) -> "Endpoint":
        """The same host with the port that the system chose."""
        return Endpoint(self.host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
