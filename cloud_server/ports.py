"""Listening sockets, and errors that say which flag to change."""

import errno
import socket

from cloud_server.config import Endpoint


class ListenError(ValueError):
    """An address that cannot be listened on; the text names it, its flag and why."""


def listening_socket(endpoint: Endpoint, flag: str) -> socket.socket:
    """A listening TCP socket.

    Raises:
        ListenError: in use, not ours to use, or no such address; names the flag.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ListenError(f"{flag} {endpoint}: {error.strerror}") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ListenError(f"{flag} {endpoint}: {_advice(error)}") from None
    return listener


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; stop what holds it or choose another one (0 lets the system choose)"
    if error.errno == errno.EACCES:
        return "not permitted; ports below 1024 need a privilege, choose another one"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address; 0.0.0.0 listens on all interfaces"
    return error.strerror or str(error)
