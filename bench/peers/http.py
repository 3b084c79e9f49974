"""The least HTTP/1.1 client: one connection, one request under way, replies with a Content-Length.

A load generator must cost little, and the same for all: the clients at hand spend more on one request than
the servers measured with them.
"""

import asyncio
from typing import cast

_END_OF_HEAD = b"\r\n\r\n"
_OK = b" 200 "
HEADERS = {"Content-Type": "application/octet-stream"}
_HEAD_LIMIT_BYTES = 65536


class HttpError(RuntimeError):
    """A reply that is not 200 with a body of stated length, or no reply."""


def http_request(path: str, body: bytes) -> bytes:
    """A POST of bytes, ready to be written.

    Example:
        >>> http_request("/p", b"ab").splitlines()[0]
        b'POST /p HTTP/1.1'
    """
    fields = {"Host": "localhost", **HEADERS, "Content-Length": len(body)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"POST {path} HTTP/1.1\r\n{lines}\r\n"
    return head.encode() + body


def parse_reply(received: bytes | bytearray) -> bytes | None:
    """The body of a whole reply; None while some of it is missing.

    Raises:
        HttpError: not 200, no Content-Length, more bytes than announced, or no end of the head.
    """
    end = received.find(_END_OF_HEAD)
    if end < 0:
        if len(received) > _HEAD_LIMIT_BYTES:
            raise HttpError(f"a head of more than {_HEAD_LIMIT_BYTES} bytes")
        return None
    head = bytes(received[:end])
    status, *fields = head.split(b"\r\n")
    if not status.startswith(b"HTTP/1.1") or _OK not in status + b" ":
        told = bytes(received[end : end + 200]).decode(errors="replace").strip()
        raise HttpError(f"answered {status.decode(errors='replace')!r}: {told}")
    size = _content_length(fields)
    start = end + len(_END_OF_HEAD)
    if len(received) - start > size:
        raise HttpError(f"{len(received) - start} bytes of body where {size} were announced")
    return bytes(received[start:]) if len(received) - start == size else None


def _content_length(fields: list[bytes]) -> int:
    for field in fields:
        name, _, value = field.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    raise HttpError("no Content-Length in the reply")


class HttpConnection(asyncio.Protocol):
    """A connection that stays open."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._reply: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, address: str) -> "HttpConnection":
        """Connect to HOST:PORT."""
        host, _, port = address.rpartition(":")
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        return connection

    async def ask(self, request: bytes) -> bytes:
        """Send a request and wait for the body of its reply.

        Raises:
            HttpError: the reply is not one, or the connection ends.
        """
        if self._transport is None or self._transport.is_closing():
            raise HttpError("the connection has ended")
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._reply

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect, and hand over a whole reply."""
        self._received += data
        if self._reply is None or self._reply.done():
            return
        try:
            body = parse_reply(self._received)
        except HttpError as error:
            self._reply.set_exception(error)
            self.close()
            return
        if body is not None:
            self._received.clear()
            self._reply.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits is told."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(HttpError(f"the connection ended before the reply: {exc or 'closed'}"))
