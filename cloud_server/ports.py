"""Listening sockets, and errors that say which flag to change.

An address means the same for both protocols: every address of a name, and both families where it is the one
that stands for all interfaces.
"""

import errno
import socket
from contextlib import ExitStack

from siftfunnel.shared.ports import Endpoint, why_not_listening

_EVERYWHERE = ("0.0.0.0", "::")
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""A name may have addresses that this machine has not, such as ::1 without IPv6."""


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
