"""What can be told of a TLS connection without its keys: which records belong to the handshake.

TLS 1.2 marks handshake records as such up to both Finished messages. TLS 1.3 disguises everything behind
ServerHello as application data: there the client's first such record after the server's is its Finished,
and ends the handshake.
"""

from siftfunnel.attacker.tap.events import Direction

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23

# A TLS 1.3 client sends only ClientHello in the clear, twice at most; TLS 1.2 adds key exchange and Finished.
_CLEAR_CLIENT_RECORDS_IN_TLS13 = 2


class TlsProgress:
    """Follows one connection's handshake."""

    def __init__(self, over: bool = False) -> None:
        self.over = over
        self._client_clear = 0
        self._server_encrypted = False

    def record(self, direction: Direction, content_type: int) -> bool:
        """Take the next record's content type; True while the record is part of the handshake."""
        if self.over:
            return False
        if content_type != APPLICATION_DATA:
            self._client_clear += direction == "up" and content_type == HANDSHAKE
            return True
        if self._client_clear > _CLEAR_CLIENT_RECORDS_IN_TLS13:
            self.over = True
            return False
        if direction == "down":
            self._server_encrypted = True
        elif self._server_encrypted:
            self.over = True
        return True
