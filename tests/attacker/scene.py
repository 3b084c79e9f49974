"""Tiny real bundles, and the events that a tap would tell of frames sent through them."""

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from siftfunnel.attacker.preview import PreviewState, Truth
from siftfunnel.attacker.tap.events import Direction, Event, FeedState, Overheard, Sink, Traffic
from siftfunnel.attacker.tap.shape import read
from siftfunnel.attacker.targets import Targets, gather
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.preprocess import normalise
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.wire import codec_by_name, make_codecs
from tests.tinybundle import make_tiny_bundle, make_tiny_inverter

METHOD = "/siftfunnel.v1.SplitInference/Stream"
PEOPLE = ("ada", "boris", "chidi")


@dataclass(frozen=True)
class Scene:
    """Two bundles of the same people, one with each defence, an inverter for each, and some pictures."""

    open: Bundle
    shut: Bundle
    bundles: Path
    inverters: Path
    pictures_NHWC: NDArray[np.uint8]

    def targets(self) -> Targets:
        """All that an attacker may know of this scene."""
        return gather([self.bundles], [self.inverters])

    def payload(self, bundle: Bundle, picture: int, codec: str = "q6") -> bytes:
        """What the edge would send of a picture."""
        session = onnxruntime.InferenceSession(str(bundle.path("edge.onnx")))
        tensor = normalise(self.pictures_NHWC[picture : picture + 1], bundle.manifest.input)
        (features,) = session.run(["feature"], {"image": tensor})
        return codec_by_name(make_codecs(bundle.manifest, bundle.digest), codec).encode(features[0])

    def frame(self, bundle: Bundle, sequence: int, picture: int = 0, codec: str = "q6") -> bytes:
        """A serialised Frame."""
        index = [spec.name for spec in bundle.manifest.codecs].index(codec)
        payload = self.payload(bundle, picture, codec)
        return pb.Frame(sequence=sequence, codec=index, payload=payload).SerializeToString()

    def truth(
        self,
        bundle: Bundle,
        sequence: int,
        picture: int = 0,
        label: str | None = "ada",
        codec: str = "q6",
    ) -> Truth:
        """What the edge's preview would tell of a frame."""
        crc32 = zlib.crc32(self.payload(bundle, picture, codec))
        return Truth(bundle.digest, sequence, 0.0, label, self.pictures_NHWC[picture], crc32)


def make_scene(directory: Path) -> Scene:
    """Make the bundles and inverters in a directory."""
    bundles, inverters = directory / "bundles", directory / "inverters"
    made = [
        make_tiny_bundle(
            bundles / name, name, PEOPLE, shape, seed=seed, label_kind="identity", defence=defence
        )
        for seed, (name, shape, defence) in enumerate(
            [("people-unprotected", (12, 16, 16), "none"), ("people-siftfunnel", (4, 8, 8), "siftfunnel")]
        )
    ]
    for bundle in made:
        make_tiny_inverter(inverters / bundle.name, bundle)
    steps = np.linspace(0, 255, 32)
    ramps = [
        np.stack([np.tile(steps, (32, 1)), np.tile(steps[:, None], (1, 32)), np.full((32, 32), level)], 2)
        for level in (30, 120, 220)
    ]
    return Scene(made[0], made[1], bundles, inverters, np.asarray(ramps, np.uint8))


def heard_frame(
    frame: bytes, digest: str | None, connection: str = "c1", time_s: float = 1.0, wire_bytes: int = 100
) -> Overheard:
    """A tap's event of a frame on its way up."""
    return heard("up", frame, digest, connection, time_s, wire_bytes)


def heard_reply(
    sequence: int,
    class_index: int | None,
    connection: str = "c1",
    time_s: float = 1.01,
    wire_bytes: int = 20,
) -> Overheard:
    """A tap's event of an answer on its way down; an error instead where there is no class."""
    if class_index is None:
        reply = pb.Reply(sequence=sequence, error=pb.FrameError(code=pb.FrameError.RESOURCE_EXHAUSTED))
    else:
        reply = pb.Reply(sequence=sequence, prediction=pb.Prediction(class_index=[class_index], score=[0.75]))
    return heard("down", reply.SerializeToString(), None, connection, time_s, wire_bytes)


def heard(
    direction: Direction,
    message: bytes,
    digest: str | None = None,
    connection: str = "c1",
    time_s: float = 1.0,
    wire_bytes: int = 100,
    method: str = METHOD,
) -> Overheard:
    """A tap's event of a message."""
    content = read(method, direction, message)
    return Overheard(
        connection,
        time_s,
        direction,
        1,
        content.kind,
        method,
        digest,
        "header" if digest else None,
        message,
        content.parts,
        wire_bytes,
        Traffic(),
    )


class HandFeed:
    """A feed that tells what a test tells it to."""

    def __init__(self, name: str, kind: str = "relay") -> None:
        self.name, self.kind = name, kind
        self.sink: Sink | None = None

    def start(self, sink: Sink) -> None:
        self.sink = sink

    def stop(self) -> None:
        pass

    def state(self) -> FeedState:
        return FeedState(self.name, self.kind, "running")

    def tell(self, *events: Event) -> None:
        assert self.sink is not None
        for event in events:
            self.sink(event)


class HandCamera:
    """A preview that hands over what a test hands it."""

    def __init__(self) -> None:
        self.show: Callable[[Truth], None] = lambda truth: None

    def start(self, on_truth: Callable[[Truth], None]) -> None:
        self.show = on_truth

    def stop(self) -> None:
        pass

    def state(self) -> PreviewState:
        return PreviewState("http://127.0.0.1:8090", "connected", "receiving the model's inputs")


def eventually(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()
