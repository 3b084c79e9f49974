"""Every reply carries the checksum of itself and of the payload that it answers."""

from collections.abc import Iterator

import grpc
import pytest

from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.call_metadata import BUNDLE_KEY, SEALED, SEALED_KEY
from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.cloud_server.conftest import Frames, Serve

SERVICE = "/siftfunnel.v1.SplitInference/"


@pytest.fixture
def sent(frames: Frames) -> list[pb.Frame]:
    """An answer, a payload that does not decode, a codec that there is not, a budget that has run out."""
    return [
        frames.frame(0),
        pb.Frame(sequence=1, payload=b"damaged"),
        pb.Frame(sequence=2, codec=99, payload=b""),
        frames.frame(3, budget_ms=0),
    ]


def stream(sent: list[pb.Frame]) -> Iterator[bytes]:
    yield from (frame.SerializeToString() for frame in sent)


@pytest.mark.parametrize("method", ["Infer", "Stream", "StreamBatches"])
async def test_answers_and_errors_of_every_call_are_sealed(
    serve: Serve, bundle: Bundle, sent: list[pb.Frame], method: str
) -> None:
    metadata = ((BUNDLE_KEY, bundle.digest),)
    async with serve() as (server, _), grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel:
        if method == "Infer":
            calls = [channel.unary_unary(SERVICE + method)(each, metadata=metadata) for each in stream(sent)]
            replies, call = [await each for each in calls], calls[0]
        elif method == "Stream":
            call = channel.stream_stream(SERVICE + method)(stream(sent), metadata=metadata)
            replies = [reply async for reply in call]
        else:
            message = pb.Frames(frames=sent).SerializeToString()
            call = channel.stream_stream(SERVICE + method)(iter([message]), metadata=metadata)
            replies = [r async for m in call for r in pb.SerialisedReplies.FromString(m).replies]
        told = dict(await call.initial_metadata())
    assert told[SEALED_KEY] == SEALED
    seal = ReplySeal(bundle.digest)
    assert [seal.fits(reply, frame.payload) for reply, frame in zip(replies, sent, strict=True)] == [True] * 4
    assert [pb.Reply.FromString(reply).sequence for reply in replies] == [0, 1, 2, 3]
