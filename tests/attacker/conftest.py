"""Recordings of real gRPC traffic, made once per session."""

import pytest

from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.attacker.scene import Scene, make_scene
from tests.attacker.service import METADATA, Transcript, frames_of, record, stream

FRAMES = frames_of(10, 100, 2000, 20_000, 40_000, 5000, 5000, 5000)


@pytest.fixture(scope="session")
def transcript() -> Transcript:
    """Describe, a stream one frame at a time, one with four in flight, and an Infer, on one connection."""

    async def play(stub):
        await stub.Describe(pb.DescribeRequest())
        await stream(stub, FRAMES)
        await stream(stub, FRAMES, window=4)
        await stub.Infer(FRAMES[0], metadata=METADATA)

    return record(play)


@pytest.fixture(scope="session")
def small_transcript() -> Transcript:
    """A stream of three small frames: short enough to be cut everywhere."""

    async def play(stub):
        await stream(stub, frames_of(10, 400, 30))

    return record(play)


@pytest.fixture(scope="session")
def secure_transcript() -> Transcript:
    """A stream of three frames under TLS."""

    async def play(stub):
        await stream(stub, frames_of(1000, 1000, 1000))

    return record(play, secure=True)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Two tiny bundles with their inverters, on disk."""
    return make_scene(tmp_path_factory.mktemp("scene"))
