"""Listening sockets and what gRPC is told of them, and errors that say which flag to change.

An address means the same for both protocols: every address of a name, and both families where it is the one
that stands for all interfaces.
"""

import errno
import socket
from contextlib import ExitStack

from siftfunnel.cloud_server.ceilings import Ceilings
from siftfunnel.shared.ports import Endpoint, why_not_listening

_EVERYWHERE = ("0.0.0.0", "::")
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""A name may have addresses that this machine has not, such as ::1 without IPv6."""


_MIN_PING_MS = 10_000
_HANDSHAKE_MS = 20_000
_IDLE_CONNECTION_MS = 60_000
_NO_COMPRESSION = 1
"""Bit 0 of gRPC's set of algorithms: messages as they are."""
_ANY_COMPRESSION = 0b111
"""These, deflate and gzip."""


class ListenError(RuntimeError):
    """An address that cannot be listened on; the text names it, its flag and why."""


def listening_sockets(endpoint: Endpoint, flag: str) -> list[socket.socket]:
    """Listening TCP sockets on all that an address means, at least one, all on one port.

    Raises:
        ListenError: in use, not ours to use, or no such address; names the flag.
    """
    sockets: list[socket.socket] = []
    refusal: OSError | None = None
    with ExitStack() as on_failure:
        port = endpoint.port
        for family, address in _addresses(endpoint, flag):
            try:
                listener = _listener(family, address, port)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise ListenError(f"{flag} {endpoint}: {why_not_listening(error)}") from None
                refusal = error
                continue
            sockets.append(on_failure.enter_context(listener))
            port = listener.getsockname()[1]
        if not sockets:
            assert refusal is not None
            raise ListenError(f"{flag} {endpoint}: {why_not_listening(refusal)}")
        on_failure.pop_all()
    return sockets


def _addresses(endpoint: Endpoint, flag: str) -> list[tuple[socket.AddressFamily, str]]:
    """What an address means, the first one first."""
    if endpoint.host in _EVERYWHERE:
        both = socket.has_dualstack_ipv6()
        return [(socket.AF_INET6, "::") if both else (socket.AF_INET, "0.0.0.0")]
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ListenError(f"{flag} {endpoint}: {error.strerror}") from None
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _listener(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    dual = family == socket.AF_INET6 and address == "::"
    return socket.create_server((address, port), family=family, backlog=128, dualstack_ipv6=dual)


def server_options(
    ceilings: Ceilings, connections: int, most_bytes: int, compression: bool
) -> tuple[tuple[str, int], ...]:
    """What gRPC is told of a server.

    Args:
        ceilings: of the server.
        connections: that this process may hold.
        most_bytes: of one message.
        compression: whether messages may be compressed.
    """
    return (
        # Two servers on one port would share its connections in silence.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", most_bytes),
        # Idle clients may ping; the default ends their connection when they do so within five minutes.
        ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        # A peer that vanished without a word is noticed within about two minutes.
        ("grpc.keepalive_time_ms", 90_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A few kilobytes may inflate to the largest message, and every call may be sent one.
        (
            "grpc.compression_enabled_algorithms_bitset",
            _ANY_COMPRESSION if compression else _NO_COMPRESSION,
        ),
        ("grpc.max_concurrent_streams", ceilings.calls_per_connection),
        ("grpc.max_allowed_incoming_connections", connections),
        # Connections that say nothing, or nothing more, give their places back.
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.max_connection_idle_ms", _IDLE_CONNECTION_MS),
    )
