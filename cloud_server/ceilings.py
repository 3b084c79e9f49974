"""What one server and one client may hold open: whatever costs memory has a ceiling.

Connections, and calls on one connection, are counted by gRPC, which closes or refuses what is over. Calls of
the whole server and of one client are counted here, from their first byte until their last one was taken: a
client that does not read its answers holds calls too.

Where there is no room a stream that has been idle gives its place up: one of the client's own at the client's
ceiling, one of whoever has most calls at the server's. A call is refused where nobody is idle.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from siftfunnel.shared.access import ClientLimits
from siftfunnel.shared.settings import check, setting

_LEAVING_SHARE = 8
_CLIENT_PREFIX_BITS = 64
"""Of an IPv6 address: what one customer is given. Whoever has one address there has all of them."""


@dataclass(frozen=True)
class Ceilings:
    """Most that may be open at once.

    Attributes:
        client: of one client that has no limits of its own.

    Raises:
        ValueError: a ceiling below 1.
    """

    connections: int = setting(
        4096,
        "TCP connections of each gRPC port; the next one is closed",
        flag="--max-connections",
        least=1,
    )
    calls: int = setting(
        1024,
        "streams and other calls of all clients; the next one takes an idle stream's place or is refused",
        flag="--max-calls",
        least=1,
    )
    calls_per_connection: int = setting(
        128,
        "calls of one connection; the client's gRPC makes the next one wait",
        flag="--max-calls-per-connection",
        least=1,
    )
    held_mb: float = setting(
        1024.0,
        "payloads and outputs of all frames under way, 10^6 bytes; over that streams are read later, and one "
        "client's over a quarter of it",
        flag="--max-held-mb",
        metavar="N",
        above=0,
    )
    client: ClientLimits = field(default_factory=ClientLimits)

    def __post_init__(self) -> None:
        check(self)


class Gate:
    """Counts open calls; for one event loop.

    Args:
        calls: most at once.
        make_room: tells a call of a client to end; whether there was one that could.
    """

    def __init__(self, calls: int, make_room: Callable[[str], bool] = lambda client: False) -> None:
        self._calls = calls
        self._make_room = make_room
        self._open: Counter[str] = Counter()
        self._total = 0

    @property
    def calls_open(self) -> int:
        """Calls that were let in and are not over."""
        return self._total

    def enter(self, context: Any, client: str, most: int) -> str | None:
        """Let a call in; it leaves when gRPC is done with it.

        Args:
            context: a `grpc.aio.ServicerContext`.
            client: whose it is.
            most: calls of that client at once.

        Returns:
            None, or why there is no room.
        """
        held = self._open.get(client, 0)
        if not self._has_room(held, most, client):
            return f"{held} calls of {client} are open, one client has no more; end some first"
        if not self._has_room(
            self._total, self._calls, max(self._open, key=self._open.__getitem__, default=client)
        ):
            return f"{self._total} calls are open, the server takes no more; try again later"
        self._open[client] += 1
        self._total += 1
        context.add_done_callback(lambda _: self._leave(client))
        return None

    def _has_room(self, held: int, ceiling: int, client: str) -> bool:
        """Below a ceiling there is; a bit above it while calls that were told to end are on their way out."""
        if held < ceiling:
            return True
        return held < ceiling + max(ceiling // _LEAVING_SHARE, 1) and self._make_room(client)

    def _leave(self, client: str) -> None:
        self._total -= 1
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]


def peer_of(context: Any) -> str:
    """The client's address and port, without gRPC's scheme and quoting."""
    peer: str = context.peer()
    scheme, _, address = peer.partition(":")
    return unquote(address) if scheme in ("ipv4", "ipv6") else peer


def client_of(context: Any) -> str:
    """Whom a call is counted for: an IPv4 address, an IPv6 network, or what gRPC says of other peers."""
    peer = peer_of(context)
    host = peer.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return peer
    if address.version == 4:
        return host
    return str(address.ipv4_mapped or ipaddress.ip_network((host, _CLIENT_PREFIX_BITS), strict=False))
