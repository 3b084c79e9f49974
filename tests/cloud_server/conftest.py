"""A tiny bundle, its frames, and a server in this process on ports of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from siftfunnel.cloud_server import engine as engines
from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.engine import Engine, EngineFactory, EngineOptions, OnnxRuntimeEngine
from siftfunnel.cloud_server.pieces import Outputs
from siftfunnel.cloud_server.server import CloudServer
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.wire import codec_by_name, make_codecs
from tests.cloud_server.lane_rig import MakeRig, Rig
from tests.split_inference import SplitInferenceStub
from tests.tinybundle import make_tiny_bundle, run_model

LOOPBACK = Endpoint("127.0.0.1", 0)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "other", name="other", seed=7)


class Frames:
    """Makes frames of a bundle, and knows what the right answer is."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.codecs = make_codecs(bundle.manifest, bundle.digest)
        self._model = bundle.path("cloud.onnx").read_bytes()

    def features(self, seed: int) -> NDArray[np.float32]:
        values = np.random.default_rng(seed).normal(size=self.bundle.manifest.feature.shape)
        return np.maximum(values, 0).astype(np.float32)

    def frame(self, sequence: int, codec: str = "fp32", budget_ms: int | None = None) -> pb.Frame:
        """Frame `sequence` of a source whose features are drawn with that seed."""
        chosen = codec_by_name(self.codecs, codec)
        payload = chosen.encode(self.features(sequence))
        return pb.Frame(sequence=sequence, codec=chosen.index, payload=payload, budget_ms=budget_ms)

    def right_class(self, sequence: int) -> int:
        """What the cloud half says of the features as they are."""
        return int(run_model(self._model, self.features(sequence)[np.newaxis]).argmax())


@pytest.fixture(scope="session")
def frames(bundle: Bundle) -> Frames:
    return Frames(bundle)


@pytest.fixture
def config(bundle: Bundle) -> CloudConfig:
    return CloudConfig(
        bundles=(bundle.directory,), listen=LOOPBACK, workers=1, drain_s=5.0, batching=BatchPolicy(4, 0.0, 64)
    )


@pytest.fixture
def engine(bundle: Bundle) -> Engine:
    return OnnxRuntimeEngine(model_file(bundle), bundle.manifest, EngineOptions())


@pytest.fixture
def make_rig(frames: Frames, engine: Engine) -> Iterator[MakeRig]:
    """`make_rig(over, policy, workers)`: a lane with the real model, or with `over` in its place."""
    rigs: list[Rig] = []

    def make(over: Engine | None = None, policy: BatchPolicy | None = None, workers: int = 1) -> Rig:
        rigs.append(Rig(frames.codecs, over or engine, policy or BatchPolicy(4, 0.0, 64), workers))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.lane.close(10.0)


Served = tuple[CloudServer, SplitInferenceStub]
Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(config: CloudConfig) -> Serve:
    """`async with serve(field=value) as (server, stub)`: a server with some fields changed, and a client."""

    @asynccontextmanager
    async def run(**changes: object) -> AsyncIterator[Served]:
        server = CloudServer(replace(config, **changes))
        async with server, grpc.aio.insecure_channel(str(server.addresses.grpc)) as channel:
            yield server, SplitInferenceStub(channel)

    return run


def metadata(bundle: Bundle, top_k: int | None = None) -> tuple[tuple[str, str], ...]:
    """What a client sends when a call opens."""
    digest = (("siftfunnel-bundle", bundle.digest),)
    return digest if top_k is None else (*digest, ("siftfunnel-top-k", str(top_k)))


def damaged(frame: pb.Frame) -> pb.Frame:
    """The frame with one bit of its payload flipped."""
    payload = bytearray(frame.payload)
    payload[len(payload) // 2] ^= 1
    return pb.Frame(sequence=frame.sequence, codec=frame.codec, payload=bytes(payload))


def model_file(bundle: Bundle) -> Path:
    return bundle.path("cloud.onnx")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Holds every run of the model until it is set; warming up passes."""
    opened = threading.Event()
    opened.set()

    class Gated(OnnxRuntimeEngine):
        """The real engine behind the gate."""

        def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
            assert opened.wait(10)
            return super().run(features_NCHW)

    gated: Mapping[str, EngineFactory] = {"onnxruntime": Gated}
    monkeypatch.setattr(engines, "ENGINES", gated)
    return opened


async def wait_until_taken(server: CloudServer, sent: list[pb.Frame]) -> None:
    payload_bytes = sum(len(frame.payload) for frame in sent)
    labels = {"bundle": "tiny", "codec": "fp32"}
    async with asyncio.timeout(5):
        while (
            server.metrics.registry.get_sample_value("siftfunnel_payload_bytes_total", labels)
            != payload_bytes
        ):
            await asyncio.sleep(0.005)
