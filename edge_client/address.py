"""Where the server is and how to reach it."""

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from siftfunnel.shared.showing import without_credentials
from siftfunnel.shared.tls import TlsFiles

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def split_address(text: str, what: str) -> tuple[str, int]:
    """Read HOST:PORT; IPv6 addresses stand in brackets.

    Args:
        text: the address.
        what: names it in the message, for example "--preview".

    Raises:
        ValueError: another form, or a port outside 0 to 65535.

    >>> split_address("[::1]:50051", "server")
    ('::1', 50051)
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.path or "@" in text or (":" in host and "[" not in text):
        shown = without_credentials(f"//{text}").removeprefix("//")
        raise ValueError(f"{what}: expected HOST:PORT, for example 127.0.0.1:50051, not {shown!r}")
    return host, port


@dataclass(frozen=True)
class ServerAddress:
    """The address of a server, or of several that serve the same, and the protection of the channel to it.

    Attributes:
        target: HOST:PORT, or several of them with commas between.
        tls: certificate files, True for the authorities that ship with grpc, None for plain text.
        tls_name: the name expected in the server's certificate where it is not the host's.

    Raises:
        ValueError: an address of another form, port 0, or a name without TLS.
        TypeError: something else than a text or certificate files.
    """

    target: str
    tls: TlsFiles | bool | None = None
    tls_name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.tls, TlsFiles | bool | None):
            raise TypeError(f"tls takes TlsFiles(ca=...), True or None, not {self.tls!r}")
        if not isinstance(self.target, str):
            raise TypeError(f"server takes HOST:PORT as a text, not {self.target!r}")
        targets = self.target.split(",")
        for target in targets:
            if split_address(target, "server")[1] == 0:
                raise ValueError(f"server: port 0 cannot be dialled: {target!r}")
        if len(set(targets)) < len(targets):
            raise ValueError(f"server: an address stands twice in {self.target!r}")
        if self.tls_name and not self.tls:
            raise ValueError("a TLS name was given without TLS; add --tls or --tls-ca")

    @property
    def each(self) -> "tuple[ServerAddress, ...]":
        """The servers one by one."""
        return tuple(replace(self, target=target) for target in self.target.split(","))
