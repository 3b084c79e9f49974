"""A stream whose transport breaks while it is read: what no real client can be made to cause on cue."""

import asyncio
from typing import NoReturn

import grpc
import pytest

from siftfunnel.cloud_server.allowance import Allowance
from siftfunnel.cloud_server.callers import Caller
from siftfunnel.cloud_server.lane import Lane
from siftfunnel.cloud_server.messages import BadMessageError, parse_frame
from siftfunnel.cloud_server.server import CloudServer
from siftfunnel.cloud_server.session import SINGLE, StreamSession
from siftfunnel.cloud_server.ticket import Wish
from siftfunnel.shared.access import EVERYBODY, ClientLimits
from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.cloud_server.conftest import Frames, Serve


class AbortedError(Exception):
    """What `abort` raises."""


class BrokenContext:
    """Gives one message, then fails like a transport that is gone."""

    def __init__(self, message: bytes) -> None:
        self._messages = [message]
        self.written: list[bytes] = []
        self.status: grpc.StatusCode | None = None

    async def read(self) -> bytes:
        if self._messages:
            return self._messages.pop()
        raise RuntimeError("the transport is gone")

    async def write(self, message: bytes) -> None:
        self.written.append(message)

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        self.status = code
        raise AbortedError(details)


def only_lane(server: CloudServer) -> Lane:
    (served,) = server.catalogue
    return served.lane


async def test_a_stream_that_cannot_be_read_further_does_not_end_as_if_all_was_taken(
    serve: Serve, frames: Frames, caplog: pytest.LogCaptureFixture
) -> None:
    context, seal = BrokenContext(frames.frame(5).SerializeToString()), ReplySeal(frames.bundle.digest)
    async with serve() as (server, _):
        caller = Caller(context, "device", EVERYBODY, ClientLimits(), Allowance())
        session = StreamSession(context, only_lane(server), seal, 4, Wish(), None, SINGLE, caller)
        with pytest.raises(AbortedError, match="send what is unanswered"):
            async with asyncio.timeout(5):
                await session.run()
    assert (caller.allowance.frames, caller.allowance.held_bytes) == (0, 0)
    assert [pb.Reply.FromString(reply).sequence for reply in context.written] == [5]
    assert context.status == grpc.StatusCode.INTERNAL
    assert "the transport is gone" in caplog.text


def test_bytes_that_are_no_frame_are_told_apart() -> None:
    assert parse_frame(b"") == pb.Frame()
    with pytest.raises(BadMessageError, match="a message of 1 bytes is not a siftfunnel"):
        parse_frame(b"\x08")
