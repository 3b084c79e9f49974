"""`vectors.json`: what a client in another language tests itself by, without Python.

{"manifest": "manifest.json",
 "cases": [{"features": hex, "payloads": {codec: hex}, "decoded": {codec: hex}}],
 "refused": [{"codec": codec, "why": text, "payload": hex}]}

Features are little-endian float32 as hex: the golden ones, corners where float64 or another way to round
makes other bytes, and all at the lowest level. All is under the golden manifest of schema 1. What is
refused has a checksum that fits, unless that is what is wrong.
"""

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.digests import sha256_hex
from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.wire import SealedCodec, codec_by_name, make_codecs
from siftfunnel.shared.wire.seal import Seal
from tests.shared.golden import SHAPE, golden_features, stored_manifest

NAMES = ("fp32", "int8", "q8", "q4")
_LARGEST = 3.4028234663852886e38
_CORNERS = (
    # halves of steps of q4 and q8 in float32, and in float64 none
    *(0.3, 0.5, 0.7, 0.9, -0.7, -0.9, 1.5, -0.9705882668495178, -0.9470588564872742),
    # halves of int8's
    *(1 / 64, 3 / 64, 5 / 64),
    # the second channel's steps are half as large
    *(0.35, 0.45, 0.75, -0.35, -0.49705883860588074, -0.4852941334247589, -1 / 64, -3 / 64),
    *(_LARGEST, -_LARGEST, 1e-45, -0.0),
)


def corners() -> NDArray[np.float32]:
    """Where another way to round or float64 makes other levels, and the ends of the range."""
    return np.array(_CORNERS, np.float32).reshape(SHAPE)


def lowest() -> NDArray[np.float32]:
    """All below the lowest level: tables then write a body of no bytes."""
    return np.full(SHAPE, -10, np.float32)


def make_vectors() -> dict[str, Any]:
    """What `vectors.json` holds."""
    manifest, digest = Manifest.from_json(stored_manifest()), sha256_hex(stored_manifest())
    codecs = [codec_by_name(make_codecs(manifest, digest), name) for name in NAMES]
    cases = [_case(codecs, features) for features in (golden_features(), corners(), lowest())]
    refused = [
        {"codec": codec.name, "why": why, "payload": payload.hex()}
        for codec in codecs
        for why, payload in _refused(codec, Seal(digest, codec.index)).items()
    ]
    return {"manifest": "manifest.json", "cases": cases, "refused": refused}


def as_json(vectors: dict[str, Any]) -> bytes:
    """The bytes that are stored."""
    return json.dumps(vectors, indent=1).encode() + b"\n"


def _case(codecs: list[SealedCodec], features: NDArray[np.float32]) -> dict[str, Any]:
    payloads = {codec.name: codec.encode(features) for codec in codecs}
    decoded = {codec.name: _hex(codec.decode(payloads[codec.name])) for codec in codecs}
    as_hex = {name: payload.hex() for name, payload in payloads.items()}
    return {"features": _hex(features), "payloads": as_hex, "decoded": decoded}


def _refused(codec: SealedCodec, seal: Seal) -> dict[str, bytes]:
    payload = codec.encode(golden_features())
    body = payload[:-4]
    other = Seal(sha256_hex(b"another bundle"), codec.index)
    wrong = {
        "empty": b"",
        "truncated, seal and all": payload[:-1],
        "one bit flipped": bytes([payload[0] ^ 1]) + payload[1:],
        "of another bundle": other.close(body),
    }
    if codec.kind == "float":
        wrong["not a number"] = seal.close(struct.pack("<f", float("nan")) + body[4:])
    if codec.kind == "table":
        wrong |= {
            "no whole words": seal.close(body[:-1]),
            "a word of zero at the end": seal.close(body + bytes(4)),
            "a word is missing": seal.close(body[:-4]),
            "a word too many at the start": seal.close(b"abcd" + body),
        }
    return wrong


def _hex(features: NDArray[np.float32]) -> str:
    return features.astype("<f4").tobytes().hex()
