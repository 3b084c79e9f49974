"""Why a server hangs up on TLS: gRPC says "Socket closed", a handshake of our own hears more."""

import socket
import ssl
from typing import Any

from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.troubles import ASKED_SHOWN_NONE, ASKED_SHOWN_ONE
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.tls import TlsFiles

_TIMEOUT_S = 2.0
_CERTIFICATE_REQUEST = 13
"""The handshake message's number (RFC 8446, section 4)."""


def tls_says(address: ServerAddress) -> str:
    """Shake hands once and listen.

    The server's certificate is not checked, gRPC does that and says what it finds. Nothing is sent.

    Returns:
        What the server says or does, as the end of a sentence; empty where the server is away, or goes on.
    """
    asked = False

    def watch(connection: Any, direction: str, version: Any, content: Any, message: int, data: bytes) -> None:
        nonlocal asked
        asked = asked or (direction == "read" and message == _CERTIFICATE_REQUEST)

    files = address.tls if isinstance(address.tls, TlsFiles) else None
    shows_one = files is not None and files.certificate is not None
    try:
        context = _context(files)
        context._msg_callback = watch  # type: ignore[attr-defined]  # the one way to see that a server asks
        if _hangs_up(context, address):
            return (ASKED_SHOWN_ONE if shows_one else ASKED_SHOWN_NONE) if asked else "hangs up"
    except ssl.SSLError as error:
        return f"says {error.reason or error}"
    except (OSError, ValueError):
        return ""
    return ""


def _context(files: TlsFiles | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if files is not None and files.certificate is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def _hangs_up(context: ssl.SSLContext, address: ServerAddress) -> bool:
    """Whether the server ends the connection after the handshake instead of beginning HTTP/2."""
    where = Endpoint.parse(address.target)
    with (
        socket.create_connection((where.host, where.port), _TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=address.tls_name or where.host) as secured,
    ):
        try:
            return not secured.recv(1)
        except ConnectionError:
            return True
