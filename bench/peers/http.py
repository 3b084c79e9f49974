"""The least HTTP/1.1 client: one connection, one request under way, replies with a Content-Length.

A load generator must cost little, and the same for all: the clients at hand spend more on one request than
the servers measured with them.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Self

from siftfunnel.shared.ports import Endpoint

_END_OF_HEAD = b"\r\n\r\n"
_OK = re.compile(rb"HTTP/1\.[01] 200\b")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
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


@dataclass(frozen=True)
class HttpConnection:
    """A connection that stays open."""

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, address: str) -> Self:
        """Connect to HOST:PORT."""
        server = Endpoint.parse(address)
        return cls(*await asyncio.open_connection(server.host, server.port, limit=_HEAD_LIMIT_BYTES))

    async def ask(self, request: bytes) -> bytes:
        """Send a request and wait for the body of its reply.

        Raises:
            HttpError: the reply is not 200 with a Content-Length, or the connection ends before its end.
        """
        try:
            self._writer.write(request)
            return await read_reply(self._reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise HttpError(f"the connection ended before the reply: {error}") from None

    def close(self) -> None:
        """End the connection."""
        self._writer.close()


async def read_reply(reader: asyncio.StreamReader) -> bytes:
    """The body of the next reply.

    Raises:
        HttpError: not 200, no Content-Length, or no end of the head within 64 KiB.
        asyncio.IncompleteReadError: the connection ended.
    """
    try:
        head = await reader.readuntil(_END_OF_HEAD)
    except asyncio.LimitOverrunError:
        raise HttpError(f"a head of more than {_HEAD_LIMIT_BYTES} bytes") from None
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1])) if length else b""
    if not _OK.match(head):
        status, told = head.partition(b"\r\n")[0], body[:200]
        raise HttpError(f"answered {status.decode(errors='replace')!r}: {told.decode(errors='replace')}")
    if length is None:
        raise HttpError("no Content-Length in the reply")
    return body
