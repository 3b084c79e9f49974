"""What is fuzzed: a parser, the errors that it may raise, what must hold of what it accepts, and seeds.

A target takes bytes and returns, or raises one of its own errors; anything else is a finding.
"""

import contextlib
import io
import json
import math
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from siftfunnel.attacker.feeds.capture_file import CaptureError, read_capture
from siftfunnel.attacker.tap.connection import ConnectionTap
from siftfunnel.attacker.tap.events import ConnectionClosed, Direction
from siftfunnel.attacker.tap.limits import TapLimits
from siftfunnel.attacker.tap.packets import PacketReader
from siftfunnel.cloud_server.messages import BadMessageError, Several, parse_frame
from siftfunnel.cloud_server.oip.datatypes import TensorSpec
from siftfunnel.cloud_server.oip.grpc_service import as_request
from siftfunnel.cloud_server.oip.requests import InferRequest, RequestError, read_inputs, wanted_positions
from siftfunnel.cloud_server.oip.rest import _object, read_request
from siftfunnel.edge_client.replies import Expected, read_reply
from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.split.facts import input_facts
from siftfunnel.lab.split.source import require_ordinary, with_weights_apart
from siftfunnel.shared.access import parse_clients
from siftfunnel.shared.bundle import load_bundle
from siftfunnel.shared.flows import FlowError, FlowRecord, read_flow, write_flow
from siftfunnel.shared.manifest import BundleError, CodecSpec, FeatureSpec, Manifest
from siftfunnel.shared.pictures import ImageError, open_image
from siftfunnel.shared.preprocess import prepare
from siftfunnel.shared.rpc import open_inference_pb2 as oip
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import pack
from siftfunnel.shared.wire import CodecError, SealedCodec, make_codecs
from tests.attacker.feeds import pcapng
from tests.attacker.service import frames_of, record, stream
from tests.attacker.tap import wire
from tests.shared.golden import HERE, PACKED, golden_packed, stored_manifest
from tests.tinybundle import make_tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "siftfunnel" / "assets"
SMALL = TapLimits(frame_bytes=4096, message_bytes=2048, buffered_bytes=8192, header_block_bytes=2048, calls=4)
MOST_BYTES = 1 << 14
DIGEST = "ab" * 32


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        run: feeds it.
        errors: that it may raise.
        seeds: inputs to begin with.
    """

    run: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: Callable[[], Iterator[bytes]]

    def feed(self, data: bytes) -> None:
        """One input; raises what is a finding."""
        with contextlib.suppress(self.errors):
            self.run(data)


@cache
def codecs_of(name: str) -> tuple[SealedCodec, ...]:
    bundle = load_bundle(ASSETS / "bundles" / name)
    return make_codecs(bundle.manifest, bundle.digest)


def _codec(bundle: str, kind: str) -> SealedCodec:
    return next(codec for codec in codecs_of(bundle) if codec.kind == kind)


@cache
def _signed() -> SealedCodec:
    stored = json.loads((HERE / "signed.json").read_text())
    spec = CodecSpec(stored["name"], stored["kind"], stored["parameters"])
    return SealedCodec(spec, 1, FeatureSpec(*stored["shape"]), DIGEST)


@cache
def _packed() -> SealedCodec:
    return SealedCodec(golden_packed(), 3, pack(PACKED), DIGEST, PACKED)


def _payload(codec: Callable[[], SealedCodec], sealed: bool) -> Callable[[bytes], object]:
    """Decode; what a codec accepts it writes again as the same features."""

    def run(data: bytes) -> None:
        one = codec()
        # behind a checksum nothing would be reached: it is put right first
        payload = one._seal.close(data) if sealed else data
        features = one.decode(payload)
        assert features.shape == one.feature.shape
        assert np.isfinite(features).all()
        assert np.array_equal(one.decode(one.encode(features)), features)

    return run


def _payload_seeds(codec: Callable[[], SealedCodec], sealed: bool) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        one = codec()
        for seed, spread in enumerate((0.0, 0.1, 1.0, 5.0)):
            drawn = np.random.default_rng(seed).normal(size=one.feature.shape) * spread
            payload = one.encode(np.maximum(drawn, 0).astype(np.float32))
            yield payload[:-4] if sealed else payload

    return seeds


def _manifest(data: bytes) -> None:
    manifest = Manifest.from_json(data)
    again = Manifest.from_json(manifest.to_json())
    assert again == manifest
    make_codecs(manifest, "ab" * 32)


def _manifest_seeds() -> Iterator[bytes]:
    yield from (stored_manifest(version) for version in (1, 2))


def _tap(data: bytes) -> None:
    """Pieces of both directions; the first byte of each says which way, how long, and whether it passed."""
    tap = ConnectionTap("c", joined_midway=bool(data[:1] and data[0] & 1), limits=SMALL)
    at, total = 1, 0
    while at < len(data):
        head, at = data[at], at + 1
        direction: Direction = "down" if head & 1 else "up"
        size = 1 << (head >> 2 & 0xF)
        piece = data[at : at + size]
        at += size
        if head & 2:
            tap.lose(direction, len(piece) + 1, 0.0, "fuzz")
            total += len(piece) + 1
        else:
            tap.receive(direction, piece, 0.0)
            total += len(piece)
        assert tap.buffered_bytes <= 2 * 4 * (4096 + 9) + len(piece) + 8192
    (closed,) = [event for event in tap.close(0.0, "closed") if isinstance(event, ConnectionClosed)]
    assert closed.traffic.total_bytes == total
    assert tap._fault == ""


@cache
def _transcript() -> list[tuple[Direction, bytes]]:
    return record(lambda stub: stream(stub, frames_of(10, 300, 20), 1))  # type: ignore[return-value]


def _tap_seeds() -> Iterator[bytes]:
    pieces = bytearray(b"\0")
    for direction, data in _transcript():
        for at in range(0, len(data), 256):
            part = data[at : at + 256].ljust(256, b"\0")
            pieces += bytes([8 << 2 | (direction == "down")]) + part
    yield bytes(pieces[:MOST_BYTES])


def _capture(data: bytes) -> None:
    reader = PacketReader()
    for packet in read_capture(io.BytesIO(data)):
        reader.read(packet.link_type, packet.data, packet.time_s, packet.wire_bytes)


def _capture_seeds() -> Iterator[bytes]:
    packets = wire.connection(_transcript()[:4])[:12]
    head = bytes.fromhex("d4c3b2a1020004000000000000000000ffff0000") + (101).to_bytes(4, "little")
    body = b"".join(
        (n).to_bytes(4, "little") + bytes(4) + 2 * len(packet).to_bytes(4, "little") + packet
        for n, packet in enumerate(packets)
    )
    yield head + body
    blocks = [pcapng.section("<"), pcapng.interface("<", 101)]
    blocks += [pcapng.enhanced("<", 0, ticks, packet) for ticks, packet in enumerate(packets)]
    yield b"".join(blocks)


def _picture(data: bytes) -> None:
    prepared = prepare(
        open_image(data), load_bundle(ASSETS / "bundles" / "drawnfaces-siftfunnel").manifest.input
    )
    assert prepared.pixels_HWC.dtype == np.uint8


def _picture_seeds() -> Iterator[bytes]:
    from PIL import Image

    picture = Image.open(next((ASSETS / "images").rglob("*.png"))).resize((12, 9))
    for form, mode in (
        ("PNG", "RGBA"),
        ("JPEG", "RGB"),
        ("GIF", "P"),
        ("BMP", "L"),
        ("WEBP", "RGB"),
        ("TIFF", "I;16"),
    ):
        out = io.BytesIO()
        (picture.convert("I").convert("I;16") if mode == "I;16" else picture.convert(mode)).save(out, form)
        yield out.getvalue()


SPECS = (TensorSpec("a", "FP32", (2, 3)), TensorSpec("b", "BYTES", (1,)))


def _checked(request: InferRequest) -> None:
    values = read_inputs(request, SPECS, 4)
    assert len(values) == len(SPECS)
    wanted_positions(request, SPECS)


def _oip_rest(data: bytes) -> None:
    length = int.from_bytes(data[:2], "big")
    body = data[2:]
    _checked(read_request(_object(body[:length]), body[length:], "model", "1"))


def _oip_rest_seeds() -> Iterator[bytes]:
    a = {"name": "a", "datatype": "FP32", "shape": [1, 2, 3], "data": [1, 2, 3, 4, 5, 6.5]}
    b = {"name": "b", "datatype": "BYTES", "shape": [1, 1], "data": ["text"]}
    told = json.dumps({"id": "7", "inputs": [a, b], "outputs": [{"name": "a"}]}).encode()
    yield len(told).to_bytes(2, "big") + told
    raw_a = {**{k: v for k, v in a.items() if k != "data"}, "parameters": {"binary_data_size": 24}}
    raw_b = {**{k: v for k, v in b.items() if k != "data"}, "parameters": {"binary_data_size": 6}}
    told = json.dumps({"inputs": [raw_a, raw_b]}).encode()
    yield len(told).to_bytes(2, "big") + told + bytes(24) + b"\2\0\0\0ab"


def _oip_grpc(data: bytes) -> None:
    message = oip.ModelInferRequest()
    if message.MergeFromString(data) == len(data):
        _checked(as_request(message))


def _oip_grpc_seeds() -> Iterator[bytes]:
    message = oip.ModelInferRequest(model_name="m", id="7")
    message.inputs.add(name="a", datatype="FP32", shape=[1, 2, 3]).contents.fp32_contents.extend(range(6))
    message.inputs.add(name="b", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(b"text")
    yield message.SerializeToString()
    for tensor in message.inputs:
        tensor.ClearField("contents")
    message.raw_input_contents.extend([bytes(24), b"\2\0\0\0ab"])
    yield message.SerializeToString()


def _frames(data: bytes) -> None:
    (parse_frame if data[:1] < b"\x80" else lambda rest: Several().frames(rest, 8))(data[1:])


def _frames_seeds() -> Iterator[bytes]:
    frames = frames_of(10, 20)
    yield b"\0" + frames[0].SerializeToString()
    yield b"\xff" + pb.Frames(frames=frames).SerializeToString()


def _replies(data: bytes) -> None:
    manifest = Manifest.from_json(stored_manifest(2))
    read_reply(pb.Reply.FromString(data), Expected.of(manifest, None, 1 << 16))


def _replies_seeds() -> Iterator[bytes]:
    yield pb.Reply(sequence=3, prediction=pb.Prediction(class_index=[1], score=[0.5])).SerializeToString()
    yield pb.Reply(
        sequence=3, error=pb.FrameError(code=pb.FrameError.INTERNAL, message="x")
    ).SerializeToString()


def _flows(data: bytes) -> None:
    flow = read_flow(data.decode())
    assert read_flow(write_flow(flow)) == flow


def _flows_seeds() -> Iterator[bytes]:
    yield write_flow(FlowRecord(1.5, "c", "up", "/m", "ab" * 32, b"message", 20)).encode()


def _clients(data: bytes) -> None:
    clients = parse_clients(tomllib.loads(data.decode()))
    assert all(len(known) == 64 for known in clients.by_token)


def _clients_seeds() -> Iterator[bytes]:
    yield (
        f'[anyone]\nrights = ["describe"]\n[clients.a]\ntoken-sha256 = "{"a" * 64}"\nrights = ["infer"]\n'
        'frames = 3\nframes-per-second = 2.5\n[clients.b]\ncertificate = ["x", "y"]\n'
    ).encode()


def _network(data: bytes) -> None:
    """A foreign network, as far as we read it ourselves; then ONNX Runtime would."""
    model = onnx.ModelProto.FromString(data)
    require_ordinary(model, "fuzzed")
    facts, batch = input_facts(with_weights_apart(model), (32, 32))
    assert math.prod(facts.shape) > 0
    assert batch is None or batch > 0


def _network_seeds() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_tiny_bundle(Path(folder) / "tiny")
        yield bundle.path("edge.onnx").read_bytes()


def _of_codec(codec: Callable[[], SealedCodec], sealed: bool) -> Target:
    run, seeds = _payload(codec, sealed), _payload_seeds(codec, sealed)
    return Target(run, (CodecError,), seeds)


RATE = "cifar10-siftfunnel-rate"
TARGETS = {
    "payload-float": _of_codec(partial(_codec, "cifar10-siftfunnel", "float"), True),
    "payload-affine": _of_codec(partial(_codec, "cifar10-siftfunnel", "affine"), True),
    "payload-table": _of_codec(partial(_codec, "cifar10-siftfunnel", "table"), True),
    "payload-lattice": _of_codec(partial(_codec, RATE, "lattice"), False),
    "payload-signed": _of_codec(_signed, False),
    "payload-packed": _of_codec(_packed, False),
    "manifest": Target(_manifest, (BundleError,), _manifest_seeds),
    "frames": Target(_frames, (BadMessageError,), _frames_seeds),
    "replies": Target(_replies, (DecodeError,), _replies_seeds),
    "tap": Target(_tap, (), _tap_seeds),
    "capture": Target(_capture, (CaptureError,), _capture_seeds),
    "flows": Target(_flows, (FlowError, UnicodeDecodeError), _flows_seeds),
    "picture": Target(_picture, (ImageError,), _picture_seeds),
    "oip-rest": Target(_oip_rest, (RequestError,), _oip_rest_seeds),
    "oip-grpc": Target(_oip_grpc, (RequestError, DecodeError), _oip_grpc_seeds),
    "clients": Target(_clients, (ValueError,), _clients_seeds),
    "network": Target(_network, (NetworkError, DecodeError), _network_seeds),
}
