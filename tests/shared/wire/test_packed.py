"""Several tensors of one frame in one payload."""

import dataclasses
import itertools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siftfunnel.shared.manifest import BundleError, CodecSpec, OutputSpec, TensorSpec
from siftfunnel.shared.tensors import pack
from siftfunnel.shared.wire import (
    CodecError,
    calibrate_signed,
    calibrate_tensors,
    check_codecs,
    make_codecs,
    packed,
)
from siftfunnel.shared.wire.seal import Seal
from tests.shared.wire.test_codec import DIGEST, manifest_with

SENT = (TensorSpec("skip", (3, 4, 5)), TensorSpec("tokens", (2, 3, 2, 2)), TensorSpec("vector", (7,)))


def values_of(seed: int, count: int = 60) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.laplace(0, 2, (count, *tensor.shape)).astype(np.float32) for tensor in SENT]


def manifest_of(specs, sent=SENT):
    plain = manifest_with(specs)
    outputs = (OutputSpec("logits", "logits", (2,)),)
    return dataclasses.replace(plain, schema_version=2, feature=pack(sent), tensors=sent, outputs=outputs)


SPECS = calibrate_tensors(values_of(0), SENT)
SIGNED = calibrate_signed("s1", values_of(0)[0], 1.0)
MIXED = packed("mixed", (SIGNED, CodecSpec("fp16", "float", {"dtype": "float16"}), SIGNED))
CODECS = make_codecs(manifest_of(SPECS), DIGEST)
every_codec = pytest.mark.parametrize("codec", CODECS, ids=[codec.name for codec in CODECS])


def frame_of(seed: int) -> np.ndarray:
    return np.concatenate([its[0].ravel() for its in values_of(seed)])[:, None, None]


def parts_of(payload: bytes) -> list[bytes]:
    parts = []
    while payload:
        (length,) = struct.unpack_from("<I", payload)
        parts.append(payload[4 : 4 + length])
        payload = payload[4 + length :]
    return parts


def joined(parts: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def test_every_codec_of_one_tensor_is_there_for_several():
    assert [codec.name for codec in CODECS] == ["fp32", "fp16", "int8", "q8", "q7", "q6", "q5", "q4"]
    assert {spec.kind for spec in SPECS} == {"packed"}


@every_codec
def test_tensors_come_back_as_their_own_codecs_give_them(codec):
    frame, start = frame_of(1), 0
    decoded = codec.decode(codec.encode(frame))
    for place, tensor in enumerate(SENT):
        part = SPECS[codec.index].parameters["parts"][place]
        alone = make_codecs(
            manifest_with((CodecSpec("x", part["kind"], part["parameters"]),), tensor.as_feature.shape),
            DIGEST,
        )[0]
        its = slice(start, start + tensor.size)
        expected = alone.decode(alone.encode(frame[its].reshape(tensor.as_feature.shape)))
        assert np.array_equal(decoded[its].ravel(), expected.ravel())
        start += tensor.size


@every_codec
def test_payloads_stay_within_what_is_known_before(codec):
    for seed in range(5):
        payload = codec.encode(frame_of(seed) * 10**seed)
        assert codec.min_payload_bytes <= len(payload) <= codec.max_payload_bytes


def test_each_part_is_sealed_with_digest_codec_and_place():
    for place, part in enumerate(parts_of(CODECS[1].encode(frame_of(1)))):
        assert Seal(DIGEST, 1, place).close(part[:-4]) == part


def test_parts_that_were_swapped_or_come_from_another_codec_are_refused():
    sent = (TensorSpec("a", (2, 3)), TensorSpec("b", (2, 3)))
    values = [its.reshape(60, 2, 3) for its in np.split(values_of(0)[1].reshape(60, -1)[:, :12], 2, axis=1)]
    codecs = make_codecs(manifest_of(calibrate_tensors(values, sent), sent), DIGEST)
    frame = np.concatenate([its[0].ravel() for its in values])[:, None, None]
    for codec, other in itertools.permutations(codecs[:3], 2):
        parts = parts_of(codec.encode(frame))
        assert np.isfinite(codec.decode(joined(parts))).all()
        with pytest.raises(CodecError, match=r"part 0: checksum differs"):
            codec.decode(joined(parts[::-1]))
        with pytest.raises(CodecError):
            codec.decode(joined([parts[0], parts_of(other.encode(frame))[1]]))


def test_a_whole_payload_is_no_part():
    alone = make_codecs(manifest_with((SIGNED,), SENT[0].shape), DIGEST)[0]
    codec = make_codecs(manifest_of((MIXED_THREE,)), DIGEST)[0]
    parts = parts_of(codec.encode(frame_of(1)))
    parts[0] = alone.encode(values_of(1)[0][0])
    with pytest.raises(CodecError, match="part 0"):
        codec.decode(joined(parts))


MIXED_THREE = packed(
    "mixed",
    (
        SIGNED,
        CodecSpec("fp16", "float", {"dtype": "float16"}),
        CodecSpec("int8", "affine", {"step": 0.1, "zero_level": 128}),
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_with_a_codec_error(data):
    for codec in (CODECS[0], CODECS[-1], make_codecs(manifest_of((MIXED_THREE,)), DIGEST)[0]):
        try:
            decoded = codec.decode(data)
        except CodecError:
            continue
        assert decoded.shape == codec.feature.shape


@pytest.mark.parametrize("codec", [CODECS[1], CODECS[5]], ids=["fp16", "q6"])
def test_every_flipped_bit_and_every_cut_is_refused(codec):
    payload = codec.encode(frame_of(2))
    for place, bit in itertools.product(range(len(payload)), (0, 7)):
        damaged = bytearray(payload)
        damaged[place] ^= 1 << bit
        with pytest.raises(CodecError):
            codec.decode(bytes(damaged))
    for length in range(len(payload)):
        with pytest.raises(CodecError):
            codec.decode(payload[:length])


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (CodecSpec("fp32", "float", {"dtype": "float32"}), "several tensors in a frame need"),
        (CodecSpec("x", "packed", {"parts": SPECS[0].parameters["parts"][:2]}), "are 2, but the tensors"),
        (CodecSpec("x", "packed", {"parts": [{"kind": "packed", "parameters": {}}] * 3}), "of kind 'packed'"),
        (CodecSpec("x", "packed", {"parts": [{"kind": "float"}] * 3}), "parameters"),
        (CodecSpec("x", "packed", {}), "parts"),
        (MIXED, r"codec mixed\.2: field 'kinds'"),
    ],
)
def test_wrong_parts_are_named(spec, complaint):
    with pytest.raises(BundleError, match=complaint):
        check_codecs(manifest_of((spec,)))


def test_one_tensor_of_any_rank_has_the_codecs_of_its_maps():
    sent = SENT[1:2]
    specs = calibrate_tensors(values_of(0)[1:2], sent)
    assert {spec.kind for spec in specs} == {"float", "affine", "table"}
    codec = make_codecs(manifest_of(specs, sent), DIGEST)[0]
    frame = values_of(1)[1][0].reshape(sent[0].as_feature.shape)
    assert np.array_equal(codec.decode(codec.encode(frame)), frame)


def test_values_of_another_shape_than_the_tensor_are_refused():
    with pytest.raises(ValueError, match=r"tensor skip: expected shape"):
        calibrate_tensors(values_of(0)[::-1], SENT)
