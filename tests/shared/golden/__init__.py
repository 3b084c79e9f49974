"""Bytes that old devices and servers hold; they must read the same for ever.

Its JSON files were written once. A test that fails here says that the format has changed: raise
`SCHEMA_VERSION` and add new files beside these.
`python -m tests.shared.golden` writes files that are missing and touches no other.
"""

import base64
import binascii
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.digests import sha256_hex
from siftfunnel.shared.manifest import CodecSpec, EdgeStage, FeatureSpec, FileEntry, Manifest
from siftfunnel.shared.output_tensors import add_tensor
from siftfunnel.shared.preprocess import InputSpec
from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import OutputSpec, TensorSpec, pack, pack_arrays
from siftfunnel.shared.wire import SealedCodec, calibrate_lattice, calibrate_signed, make_codecs, packed
from siftfunnel.shared.wire.kinds import make_body
from siftfunnel.shared.wire.seal import Seal
from siftfunnel.shared.wire.tables import counts_from_histogram

HERE = Path(__file__).parent
SHAPE = (2, 3, 4)
MANIFESTS = {1: "manifest.json", 2: "manifest_2.json"}


class PlainSeal(Seal):
    """What the stored bodies of "lattice" and "signed" are sealed with: of no bundle and no codec."""

    def __init__(self) -> None:
        super().__init__("0" * 64, 0)

    def checksum(self, data: bytes) -> int:
        return binascii.crc32(data)


def golden_features() -> NDArray[np.float32]:
    """Eighths from -1 to 2, 13 of 24 zero: exact in every float format."""
    eighths = [(7 * i) % 25 - 8 if i % 2 else 0 for i in range(24)]
    return np.array(eighths, dtype=np.float32).reshape(SHAPE) / np.float32(8)


def golden_tensors() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One frame of the tensors of schema 2: the values above, and seven more in a vector."""
    return golden_features()[None], (np.arange(7, dtype=np.float32) / np.float32(4) - np.float32(1))[None]


def golden_manifest(version: int = 1) -> Manifest:
    """Every field set that the schema has."""
    return _manifest_1() if version == 1 else _manifest_2()


def _manifest_1() -> Manifest:
    """Tables written out by formula and not by calibration."""
    return Manifest(
        name="golden",
        architecture="cnn-w32",
        defence="siftfunnel",
        split_point="block2",
        input=InputSpec(32, 48, (0.5, 0.25, 0.125), (0.5, 1.0, 2.0), "stretch"),
        feature=FeatureSpec(*SHAPE),
        classes=("Ångström", "b"),
        label_kind="identity",
        edge_stages=(EdgeStage("laplace-noise", {"scale": 0.5}),),
        codecs=(
            CodecSpec("fp32", "float", {"dtype": "float32"}),
            CodecSpec("fp16", "float", {"dtype": "float16"}),
            CodecSpec("int8", "affine", {"step": 0.03125, "zero_level": 32}),
            _table("q8", 256),
            _table("q4", 16),
        ),
        default_codec="q4",
        files={
            "edge.onnx": FileEntry(sha256_hex(b"edge"), 4),
            "cloud.onnx": FileEntry(sha256_hex(b"cloud"), 5),
        },
    )


def _manifest_2() -> Manifest:
    """What schema 2 can say and schema 1 cannot."""
    tensors = (TensorSpec("/block3/add", SHAPE), TensorSpec("skip", (7,)))
    return replace(
        _manifest_1(),
        schema_version=2,
        input=InputSpec(
            height=24,
            width=40,
            mean=(0.5,),
            std=(0.25,),
            crop="letterbox",
            scale=0.0078125,
            filter="bilinear",
            antialias=False,
            colour="grey",
            layout="NHWC",
            dtype="float16",
            padding=0,
        ),
        feature=pack(tensors),
        tensors=tensors,
        outputs=(
            OutputSpec("scores", "probabilities", (3,), "float16"),
            OutputSpec("vector", "embedding", (5,)),
            OutputSpec("boxes", "tensor", (None, 4), "int64"),
        ),
        classes=("crane", "Ångström", "crane"),
        class_ids=("n02012849", "a", "n03126707"),
        codecs=(
            packed("fp", [CodecSpec(name, "float", {"dtype": name}) for name in ("float32", "float16")]),
        ),
        default_codec="fp",
        frames_per_run=4,
        original_sha256=sha256_hex(b"network"),
    )


def _table(name: str, levels: int) -> CodecSpec:
    # channel 0 reaches from -1 to 2, channel 1 saturates at half of that
    zero_level = levels // 3
    steps = np.array([3 / (levels - 1), 1.5 / (levels - 1)], dtype="<f4")
    distance = np.abs(np.arange(levels) - zero_level)
    rows = [counts_from_histogram(np.asarray(1000 // (1 + distance * k), dtype=np.int64)) for k in (1, 3)]
    arrays = {
        "steps": steps.tobytes(),
        "zero_levels": bytes([zero_level, zero_level]),
        "counts": np.stack(rows).astype("<u2").tobytes(),
    }
    encoded = {key: base64.b64encode(data).decode() for key, data in arrays.items()}
    return CodecSpec(name, "table", {"levels": levels, "precision_bits": 14, **encoded})


def golden_messages() -> dict[str, pb.Frame | pb.Reply]:
    """One message of each outcome."""
    return {
        "frame": pb.Frame(sequence=300, codec=4, payload=b"\x00\xff", budget_ms=0),
        "frame_without_budget": pb.Frame(sequence=1, payload=b"x"),
        "answer": pb.Reply(
            sequence=300,
            prediction=pb.Prediction(
                class_index=[1, 0],
                score=[0.75, 0.25],
                timings=pb.Timings(queue_us=1, decode_us=2, compute_us=3, batch_size=4),
            ),
        ),
        "refusal": pb.Reply(
            sequence=2**64 - 1,
            error=pb.FrameError(code=pb.FrameError.RESOURCE_EXHAUSTED, message="full", retry_after_ms=50),
        ),
    }


def golden_output_messages() -> dict[str, pb.Reply | pb.DescribeReply]:
    """Replies with outputs beside classes and without classes, and a bundle that says what it gives."""
    reply = pb.Reply(sequence=300, prediction=pb.Prediction(class_index=[1], score=[0.75]))
    add_tensor(reply.prediction, 1, np.array([0.5, -2.0], np.float32))
    add_tensor(reply.prediction, 3, np.zeros((0, 4), np.float16))
    bare = pb.Reply(sequence=301, prediction=pb.Prediction(timings=pb.Timings(batch_size=1)))
    add_tensor(bare.prediction, 0, np.array([[1, -1]], np.int64))
    described = pb.BundleDescription(
        name="golden",
        class_ids=["n1", "n2"],
        tensors=[pb.TensorDescription(name="maps", shape=[2, 3, 4])],
        outputs=[pb.OutputDescription(name="boxes", kind="tensor", shape=[0, 4], dtype="float16")],
    )
    return {
        "answer_with_outputs": reply,
        "outputs_alone": bare,
        "too_large": pb.Reply(error=pb.FrameError(code=pb.FrameError.OUTPUTS_TOO_LARGE, message="too large")),
        "description": pb.DescribeReply(bundles=[described], max_output_bytes=4 * 2**20),
    }


def golden_bulk_messages() -> dict[str, pb.Frames | pb.Replies]:
    """What `StreamBatches` carries: the messages above, several in one."""
    one = golden_messages()
    return {
        "frames": pb.Frames(frames=[one["frame"], one["frame_without_budget"]]),
        "replies": pb.Replies(replies=[one["answer"], one["refusal"]]),
    }


def golden_sealed() -> dict[str, bytes]:
    """Replies to one payload, as a server of the golden bundle seals them."""
    one, seal = golden_messages(), ReplySeal(sha256_hex(stored_manifest()))
    payload = b"\x00\xff"
    return {key: seal.close(payload, one[key].SerializeToString()) for key in ("answer", "refusal")}


def stored_manifest(version: int = 1) -> bytes:
    """The manifest of a schema as it was stored."""
    return (HERE / MANIFESTS[version]).read_bytes()


def stored_hex(name: str) -> dict[str, bytes]:
    """Bytes by key from a JSON file of hex texts."""
    return {key: bytes.fromhex(text) for key, text in json.loads((HERE / name).read_text()).items()}


def write_missing() -> None:
    """Write the files that are not there."""
    manifest, second = golden_manifest(), golden_manifest(2)
    codecs = make_codecs(manifest, sha256_hex(manifest.to_json()))
    (codec,) = make_codecs(second, sha256_hex(second.to_json()))
    contents = {
        "manifest.json": manifest.to_json(),
        "manifest_2.json": second.to_json(),
        "payloads_2.json": _hex({codec.name: codec.encode(pack_arrays(golden_tensors(), second.sent)[0])}),
        "payloads.json": _hex({codec.name: codec.encode(golden_features()) for codec in codecs}),
        "messages.json": _hex({key: m.SerializeToString() for key, m in golden_messages().items()}),
        "output_messages.json": _hex(
            {key: m.SerializeToString() for key, m in golden_output_messages().items()}
        ),
        "bulk_messages.json": _hex({key: m.SerializeToString() for key, m in golden_bulk_messages().items()}),
        "sealed_replies.json": _hex(golden_sealed()),
        "lattice_places.json": _lattice_with_places(),
        "signed.json": _signed(),
        "packed.json": _packed(),
    }
    for name, data in contents.items():
        if not (HERE / name).exists():
            (HERE / name).write_bytes(data)


def _lattice_with_places() -> bytes:
    """A lattice codec that says its contexts, what it reads and what it writes."""
    before = json.loads((HERE / "lattice.json").read_text())
    shape, steps = before["shape"], np.array(before["steps"], np.float32)
    rng = np.random.default_rng(0)
    features = rng.gamma(2, 1, (200, *shape)).astype(np.float32) * steps[:, None, None]
    spec = calibrate_lattice("r9", features, steps, before["parameters"]["levels"])
    body = make_body(spec, FeatureSpec(*shape))
    levels = np.rint(features[0].reshape(shape[0], -1) / steps[:, None])
    written = body.write(levels * steps[:, None], PlainSeal())
    stored = {
        **before,
        "parameters": spec.parameters,
        "levels": levels.astype(int).tolist(),
        "body": written.hex(),
    }
    return json.dumps(stored, indent=1).encode() + b"\n"


def _signed() -> bytes:
    """A signed codec, levels with some beyond the outermost symbol, and what it writes."""
    shape = (6, 5, 4)
    rng = np.random.default_rng(0)
    features = rng.laplace(0, 1, (200, *shape)) * (4 * 0.5 ** np.arange(6))[:, None, None]
    spec = calibrate_signed("s1", features.astype(np.float32), 1.0)
    body = make_body(spec, FeatureSpec(*shape))
    levels = np.rint(features[0].reshape(6, -1))
    levels[0, :2] = 300, -20_000
    written = body.write(levels.astype(np.float32), PlainSeal())
    stored = {
        "name": spec.name,
        "kind": spec.kind,
        "shape": shape,
        "parameters": spec.parameters,
        "levels": levels.astype(int).tolist(),
        "body": written.hex(),
    }
    return json.dumps(stored, indent=1).encode() + b"\n"


PACKED = (TensorSpec("a", (2, 3, 4)), TensorSpec("b", (24,)))


def golden_packed() -> CodecSpec:
    """Two tensors, the same features in each."""
    return packed("p1", (_table("q4", 16), CodecSpec("int8", "affine", {"step": 0.03125, "zero_level": 32})))


def _packed() -> bytes:
    codec = SealedCodec(golden_packed(), 3, pack(PACKED), "ab" * 32, PACKED)
    twice = np.concatenate([golden_features().ravel()] * 2)[:, None, None]
    return _hex({"payload": codec.encode(twice)})


def _hex(entries: dict[str, bytes]) -> bytes:
    return json.dumps({key: data.hex() for key, data in entries.items()}, indent=1).encode() + b"\n"
