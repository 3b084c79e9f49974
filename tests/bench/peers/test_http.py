"""The least HTTP client, against bytes and against a socket."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.bench.peers.http import HttpConnection, HttpError, http_request, read_reply

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def reply(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nserver: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def read_all(received: bytes, replies: int = 1) -> list[bytes]:
    reader = asyncio.StreamReader(limit=65536)
    reader.feed_data(received)
    reader.feed_eof()
    return [await read_reply(reader) for _ in range(replies)]


@given(st.binary(max_size=300), st.integers(0, 400))
def test_a_reply_is_whole_when_its_last_byte_is_there(body: bytes, cut: int) -> None:
    whole = reply(body)
    assert asyncio.run(read_all(whole + reply(b"next"), 2)) == [body, b"next"]
    with pytest.raises(asyncio.IncompleteReadError):
        asyncio.run(read_all(whole[: min(cut, len(whole) - 1)]))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_reply_are_refused_or_incomplete(noise: bytes) -> None:
    with pytest.raises((HttpError, asyncio.IncompleteReadError)):
        asyncio.run(read_all(b"\0" + noise + b"\r\n\r\n"))


@pytest.mark.parametrize(
    ("received", "said"),
    [
        (reply(b"full", "503 Service Unavailable"), "503 Service Unavailable.*full"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "no Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", "no Content-Length"),
        (b"x" * 70000, "a head of more than 65536 bytes"),
    ],
)
async def test_what_is_wrong_with_a_reply_is_said(received: bytes, said: str) -> None:
    with pytest.raises(HttpError, match=f"(?s){said}"):
        await read_all(received)


async def talk(serve: Serve, requests: int) -> list[bytes]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connection = await HttpConnection.open(f"127.0.0.1:{port}")
        try:
            return [await connection.ask(http_request("/p", bytes([number]))) for number in range(requests)]
        finally:
            connection.close()


async def test_requests_share_a_connection() -> None:
    connections = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while head := await reader.readuntil(b"\r\n\r\n"):
            assert head.startswith(b"POST /p HTTP/1.1\r\n")
            for piece in reply(await reader.readexactly(1)).partition(b"Content"):
                writer.write(piece)
                await writer.drain()

    assert await talk(echo, 3) == [b"\0", b"\1", b"\2"]
    assert len(connections) == 1
    connections[0].close()


async def test_a_connection_that_ends_fails_the_request() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    with pytest.raises(HttpError, match="ended before the reply"):
        await talk(hang_up, 1)
