"""Where the server is and how to reach it."""

from dataclasses import dataclass, field, replace

from siftfunnel.shared.access import AUTHORIZATION_KEY, bearer
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.tls import TlsFiles


@dataclass(frozen=True)
class ServerAddress:
    """The address of a server, or of several that serve the same, and the protection of the channel to it.

    Attributes:
        target: HOST:PORT, or several of them with commas between.
        tls: certificate files, True for the authorities that ship with grpc, None for plain text.
        tls_name: the name expected in the server's certificate where it is not the host's.
        token: what this client shows to be known by, or None.

    Raises:
        ValueError: an address of another form, port 0, or a name without TLS.
        TypeError: something else than a text or certificate files.
    """

    target: str
    tls: TlsFiles | bool | None = None
    tls_name: str | None = None
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.tls, TlsFiles | bool | None):
            raise TypeError(f"tls takes TlsFiles(ca=...), True or None, not {self.tls!r}")
        if not isinstance(self.target, str):
            raise TypeError(f"server takes HOST:PORT as a text, not {self.target!r}")
        targets = self.target.split(",")
        for target in targets:
            try:
                endpoint = Endpoint.parse(target)
            except ValueError as error:
                raise ValueError(f"server: {error}") from None
            if endpoint.port == 0:
                raise ValueError(f"server: port 0 cannot be dialled: {target!r}")
        if len(set(targets)) < len(targets):
            raise ValueError(f"server: an address stands twice in {self.target!r}")
        if self.tls_name and not self.tls:
            raise ValueError("a TLS name was given without TLS; add --tls or --tls-ca")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What each call carries to be let in."""
        return () if self.token is None else ((AUTHORIZATION_KEY, bearer(self.token)),)

    @property
    def each(self) -> "tuple[ServerAddress, ...]":
        """The servers one by one."""
        return tuple(replace(self, target=target) for target in self.target.split(","))
