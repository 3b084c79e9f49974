"""Which of several servers is dialled next, and the connection that streams for single pictures share."""

import threading

from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.transport import Ask, Connection, StreamCall


class Rotation:
    """Servers in turn, one per connection; all streams of a client share it. Safe from several threads.

    A stream stays on its server until that ends it or is lost; the next connection goes to the next server.

    Args:
        address: one server or several.
        first: where to begin, any number of at least 0; random, so that many devices spread over the servers.

    Example:
        >>> servers = Rotation(ServerAddress("a:1,b:1"), first=1)
        >>> [servers.turn().target for _ in range(3)]
        ['b:1', 'a:1', 'b:1']
    """

    def __init__(self, address: ServerAddress, first: int) -> None:
        self.address = address
        self._each = address.each
        self._next = first
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of servers."""
        return len(self._each)

    def turn(self) -> ServerAddress:
        """The server whose turn it is."""
        with self._lock:
            chosen = self._each[self._next % len(self._each)]
            self._next += 1
            return chosen


class KeptConnection:
    """Makes calls over one connection, to the same server until that connection breaks.

    Args:
        servers: one or several.
        ask: what each call carries.
        silence_s: how long calls may go without a reply to any before the connection is left.
    """

    def __init__(self, servers: Rotation, ask: Ask, silence_s: float) -> None:
        self._servers = servers
        self._ask = ask
        self._silence_s = silence_s
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def call(self) -> StreamCall:
        """A call that is not open yet; over a new connection where the last one is of no use any more."""
        with self._lock:
            kept = self._connection
            if kept is not None and kept.silent_s() >= self._silence_s:
                kept.close()
            if kept is None or kept.closed:
                kept = self._connection = Connection(self._servers.turn(), self._ask.message_bytes)
        return StreamCall(kept.address, self._ask, kept=kept)

    def close(self) -> None:
        """Free the connection; calls on it end."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
