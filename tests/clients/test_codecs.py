"""The reference clients encode and decode as the product does: to the byte, and refuse what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from siftfunnel.shared.bundle import load_bundle
from siftfunnel.shared.digests import sha256_hex
from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.tensors import TensorSpec, pack
from siftfunnel.shared.wire import codec_by_name, make_codecs
from siftfunnel.shipped import assets_directory
from tests.clients.conftest import Client
from tests.shared.golden import HERE, MANIFESTS, SHAPE, golden_features, golden_manifest
from tests.shared.golden.vectors import NAMES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
GOLDEN = HERE / MANIFESTS[1]
VECTORS = json.loads((HERE / "vectors.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_golden_vectors_are_written_and_read_to_the_byte(client: Client, name: str) -> None:
    cases = VECTORS["cases"]
    features = np.frombuffer(bytes.fromhex("".join(case["features"] for case in cases)), "<f4")
    payloads = client.encode(GOLDEN, name, features)
    assert [payload.hex() for payload in payloads] == [case["payloads"][name] for case in cases]
    decoded = client.decode(GOLDEN, name, *payloads)
    assert decoded.stdout.hex() == "".join(case["decoded"][name] for case in cases)


# a line of hex cannot say that there is nothing
@pytest.mark.parametrize(
    "wrong",
    [wrong for wrong in VECTORS["refused"] if wrong["payload"]],
    ids=lambda wrong: f"{wrong['codec']}, {wrong['why']}",
)
def test_a_payload_that_is_none_is_refused(client: Client, wrong: dict[str, str]) -> None:
    result = client.decode(GOLDEN, wrong["codec"], bytes.fromhex(wrong["payload"]))
    assert (result.returncode, result.stdout, bool(result.stderr)) == (1, b"", True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bundle", ["cifar10-siftfunnel", "drawnfaces-unprotected"])
def test_features_of_a_shipped_bundle_are_written_and_read_to_the_byte(
    client: Client, bundle: str, name: str
) -> None:
    loaded = load_bundle(assets_directory() / "bundles" / bundle, need=())
    codec = codec_by_name(make_codecs(loaded.manifest, loaded.digest), name)
    rng = np.random.default_rng(0)
    spreads = np.array([0.1, 1, 10], np.float32)[:, None, None, None]
    features = rng.normal(size=(3, *loaded.manifest.feature.shape)).astype(np.float32) * spreads
    payloads = client.encode(loaded.directory / "manifest.json", name, features)
    assert payloads == [codec.encode(feature) for feature in features]
    decoded = client.decode(loaded.directory / "manifest.json", name, *payloads)
    assert decoded.stdout == b"".join(codec.decode(payload).tobytes() for payload in payloads)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_features_that_are_no_numbers_are_refused(client: Client, wrong: float) -> None:
    features = golden_features()
    features[1, 2, 3] = wrong
    result = client.run("--staged", "encode", GOLDEN, "q4", client.written(features))
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"NaN or infinity" in result.stderr


def test_a_schema_2_manifest_of_one_tensor_is_read(client: Client, tmp_path: Path) -> None:
    tensors = (TensorSpec("maps", SHAPE),)
    codecs = golden_manifest(1).codecs
    manifest = replace(
        golden_manifest(2), tensors=tensors, feature=pack(tensors), codecs=codecs, default_codec="q4"
    )
    stored = tmp_path / "manifest.json"
    stored.write_bytes(manifest.to_json())
    codec = codec_by_name(make_codecs(manifest, sha256_hex(manifest.to_json())), "q4")
    assert client.encode(stored, "q4", golden_features()) == [codec.encode(golden_features())]


STORED = GOLDEN.read_text(encoding="utf-8")
BAD_MANIFESTS = {
    "a key twice": STORED.replace('"name": "golden"', '"name": "golden", "name": "golden"', 1),
    "a key twice, once escaped": STORED.replace('"step": 0.03125', '"step": 0.03125, "st\\u0065p": 0.5'),
    "an unknown field": STORED.replace('"crop"', '"noise": 1, "crop"'),
    "a missing field": STORED.replace('"label_kind": "identity",', ""),
    "a field in capitals": STORED.replace('"defence"', '"Defence"'),
    "an unknown parameter": STORED.replace('"zero_level": 32', '"zero_level": 32, "sign": 1'),
    "another schema": STORED.replace('"schema_version": 1', '"schema_version": 3'),
    "NaN": STORED.replace('"step": 0.03125', '"step": NaN'),
    "a step of nothing": STORED.replace('"step": 0.03125', '"step": 0'),
    "a zero level that is no byte": STORED.replace('"zero_level": 32', '"zero_level": 300'),
    "a number of channels below 0": STORED.replace('"channels": 2', '"channels": -2'),
    "a feature beyond all bounds": STORED.replace('"channels": 2', '"channels": 16777216'),
    "tables of no known precision": STORED.replace('"precision_bits": 14', '"precision_bits": -14'),
    "tables of too many levels": STORED.replace('"levels": 256', '"levels": 257'),
    "counts that are not all there": STORED.replace('"counts": "EwAT', '"counts": "'),
    "something behind it": STORED + "1",
    "several tensors": (HERE / MANIFESTS[2]).read_text(encoding="utf-8"),
}


@pytest.mark.parametrize("what", BAD_MANIFESTS)
def test_a_manifest_that_is_wrong_is_refused(client: Client, tmp_path: Path, what: str) -> None:
    stored = tmp_path / "manifest.json"
    stored.write_text(BAD_MANIFESTS[what], encoding="utf-8")
    assert stored.read_bytes() != GOLDEN.read_bytes()
    codec = "q8" if what.startswith(("counts", "tables")) else "int8"
    result = client.run("--staged", "encode", stored, codec, client.written(golden_features()))
    assert (result.returncode, result.stdout, bool(result.stderr)) == (1, b"", True)


def test_a_bundle_with_edge_stages_needs_the_word_that_they_are_applied(client: Client) -> None:
    assert Manifest.from_json(GOLDEN.read_bytes()).edge_stages
    result = client.run("encode", GOLDEN, "q4", client.written(golden_features()))
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"edge stages" in result.stderr
