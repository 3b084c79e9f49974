"""A real gRPC service of the contract, without a model behind it, and a way to write down what passes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc

from siftfunnel.attacker.feeds.copier import Copier
from siftfunnel.attacker.feeds.spool import Chunk, SpoolItem
from siftfunnel.attacker.tap.connection import ConnectionTap
from siftfunnel.attacker.tap.events import Direction, Event, Overheard
from siftfunnel.certs import make_certificates
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.split_inference import SplitInferenceStub, serve_calls

DIGEST = "ab" * 32
OTHER_DIGEST = "cd" * 32
METADATA = (("siftfunnel-bundle", DIGEST),)
STREAM = "/siftfunnel.v1.SplitInference/Stream"
INFER = "/siftfunnel.v1.SplitInference/Infer"
DESCRIBE = "/siftfunnel.v1.SplitInference/Describe"

Transcript = list[tuple[Direction, bytes]]
"""What passed in which direction, in order."""

Play = Callable[[SplitInferenceStub], Awaitable[None]]


class Parrot:
    """Answers every frame with the length of its payload as the class."""

    async def Describe(self, request, context):
        return pb.DescribeReply(server_version="test", max_message_bytes=1 << 22, window=8)

    async def Infer(self, request, context):
        return answer(request)

    async def Stream(self, requests, context):
        digest = dict(context.invocation_metadata()).get("siftfunnel-bundle", "")
        if digest != DIGEST:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"serving {DIGEST}, not {digest}")
        await context.send_initial_metadata(METADATA)
        async for frame in requests:
            yield answer(frame)


def answer(frame: pb.Frame) -> pb.Reply:
    prediction = pb.Prediction(class_index=[len(frame.payload) % 1000], score=[0.5])
    return pb.Reply(sequence=frame.sequence, prediction=prediction)


def frames_of(*payload_sizes: int) -> list[pb.Frame]:
    """Frames 0, 1, 2 … whose payloads hold long runs of zeros and every byte value."""
    return [
        pb.Frame(sequence=number, codec=number % 3, payload=payload(size))
        for number, size in enumerate(payload_sizes)
    ]


def payload(size: int) -> bytes:
    zeros = size // 3
    return bytes(zeros) + bytes(i * 7 % 256 for i in range(size - zeros))


@asynccontextmanager
async def serving(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[int]:
    """The port of a running `Parrot`."""
    server = grpc.aio.server()
    serve_calls(Parrot(), server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def stream(stub: SplitInferenceStub, frames: list[pb.Frame], window: int = 1) -> list[pb.Reply]:
    """Play frames through one Stream call, `window` of them in flight."""
    call = stub.Stream(metadata=METADATA)
    replies: list[pb.Reply] = []
    for number, frame in enumerate(frames):
        await call.write(frame)
        if number >= window - 1:
            replies.append(await call.read())
    await call.done_writing()
    while (reply := await call.read()) is not grpc.aio.EOF:
        replies.append(reply)
    return replies


def record(play: Play, secure: bool = False) -> Transcript:
    """What passed between a real client and a real server while `play` ran."""
    return asyncio.run(_record(play, secure))


async def _record(play: Play, secure: bool) -> Transcript:
    transcript: Transcript = []

    def note(item: SpoolItem) -> None:
        if isinstance(item, Chunk):
            transcript.append((item.direction, item.data))

    async with serving(server_credentials() if secure else None) as port:
        copier = Copier(Endpoint("127.0.0.1", port), note)
        address = f"localhost:{(await copier.listen(Endpoint('127.0.0.1', 0))).port}"
        credentials = grpc.ssl_channel_credentials(certificate()[0])
        channel = (
            grpc.aio.secure_channel(address, credentials) if secure else grpc.aio.insecure_channel(address)
        )
        async with channel:
            await play(SplitInferenceStub(channel))
        await copier.stop()
    return transcript


@cache
def certificate() -> tuple[bytes, bytes, bytes]:
    """An authority's certificate, and a certificate of it for localhost with its key; PEM."""
    with TemporaryDirectory() as folder:
        files = make_certificates(Path(folder) / "certificates")
        return files.ca.read_bytes(), files.server.read_bytes(), files.server_key.read_bytes()


def server_credentials() -> grpc.ServerCredentials:
    _, chain, key = certificate()
    return grpc.ssl_server_credentials([(key, chain)])


def overhear(transcript: Transcript, tap: ConnectionTap | None = None) -> list[Event]:
    """Everything a tap tells of a transcript; the n-th chunk passes at second n."""
    tap = tap or ConnectionTap("c")
    events: list[Event] = []
    for second, (direction, data) in enumerate(transcript):
        events += tap.receive(direction, data, float(second))
    return events + tap.close(float(len(transcript)), "closed")


def messages(events: list[Event], kind: str | None = None) -> list[Overheard]:
    return [event for event in events if isinstance(event, Overheard) and kind in (None, event.kind)]


def frames_heard(events: list[Event]) -> list[pb.Frame]:
    return [pb.Frame.FromString(event.message) for event in messages(events, "frame")]


def replies_heard(events: list[Event]) -> list[pb.Reply]:
    return [pb.Reply.FromString(event.message) for event in messages(events, "reply")]
