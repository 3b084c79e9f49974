"""The one connection that single pictures share, kept from one to the next."""

import threading

from siftfunnel.edge_client.rotation import Rotation
from siftfunnel.edge_client.transport import Ask, Connection, StreamCall


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
