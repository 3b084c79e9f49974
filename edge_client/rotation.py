"""Which of several servers is dialled next."""

import threading

from siftfunnel.edge_client.address import ServerAddress


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
