"""The one connection that single pictures share, kept from one to the next."""

import threading

from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.rotation import Rotation
from siftfunnel.edge_client.transport import Ask, Connection, StreamCall


class KeptConnection:
    """Stands where a stream has a `Rotation`: the server stays the same until its connection breaks.

    Args:
        servers: one or several.
        ask: what each call carries.
        silence_s: how long calls may go without a reply to any before the connection is left.
    """

    def __init__(self, servers: Rotation, ask: Ask, silence_s: float) -> None:
        self.address = servers.address
        self._servers = servers
        self._ask = ask
        self._silence_s = silence_s
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def __len__(self) -> int:
        """Number of servers."""
        return len(self._servers)

    def turn(self) -> ServerAddress:
        """The server that the next call goes to."""
        return self._open().address

    def call(self, address: ServerAddress) -> StreamCall:
        """A call to the server that `turn` gave; to the next one where that was lost since."""
        return StreamCall(address, self._ask, kept=self._open())

    def close(self) -> None:
        """Free the connection; calls on it end."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def _open(self) -> Connection:
        with self._lock:
            kept = self._connection
            if kept is not None and kept.silent_s() >= self._silence_s:
                kept.close()
            if kept is None or kept.closed:
                kept = self._connection = Connection(self._servers.turn(), self._ask.message_bytes)
            return kept
