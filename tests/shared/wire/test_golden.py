import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from siftfunnel.shared.digests import sha256_hex
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.manifest import CodecSpec, FeatureSpec, Manifest
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import pack, pack_arrays, unpack_array
from siftfunnel.shared.wire import (
    CodecError,
    SealedCodec,
    codec_by_name,
    compiled,
    make_codecs,
    signed_levels,
)
from siftfunnel.shared.wire.kinds import make_body
from tests.shared.golden import (
    HERE,
    PACKED,
    SHAPE,
    PlainSeal,
    golden_bulk_messages,
    golden_features,
    golden_manifest,
    golden_messages,
    golden_output_messages,
    golden_packed,
    golden_sealed,
    golden_tensors,
    stored_hex,
    stored_manifest,
    vectors,
)

NAMES = ("fp32", "fp16", "int8", "q8", "q4")


def golden_codecs():
    return make_codecs(Manifest.from_json(stored_manifest()), sha256_hex(stored_manifest()))


@pytest.mark.parametrize("version", [1, 2])
def test_the_stored_manifest_reads_as_the_manifest_it_was_written_from(version):
    assert Manifest.from_json(stored_manifest(version)) == golden_manifest(version)


@pytest.mark.parametrize("version", [1, 2])
def test_the_golden_manifest_is_written_as_the_bytes_that_were_stored(version):
    assert golden_manifest(version).to_json() == stored_manifest(version)


def test_the_golden_manifests_set_every_field():
    later = {"tensors", "outputs", "class_ids", "frames_per_run", "original_sha256"}
    for field in dataclasses.fields(Manifest):
        assert getattr(golden_manifest(2), field.name), field.name
        assert bool(getattr(golden_manifest(1), field.name)) == (field.name not in later), field.name
    for field in dataclasses.fields(InputSpec):
        # a letterbox has no shorter side
        said = getattr(golden_manifest(2).input, field.name) != field.default
        assert said == (field.name != "shorter_side"), field.name


def test_a_bundle_of_schema_1_keeps_its_digest():
    digest = "5ba91050937d8463e2c621fc797fc329b793dc60f2ed11e94b4a005cee1053e2"
    assert sha256_hex(stored_manifest()) == digest


def test_several_tensors_are_packed_to_the_stored_payload_and_come_back_from_it():
    manifest = Manifest.from_json(stored_manifest(2))
    (codec,) = make_codecs(manifest, sha256_hex(stored_manifest(2)))
    stored = stored_hex("payloads_2.json")["fp"]
    assert codec.encode(pack_arrays(golden_tensors(), manifest.sent)[0]) == stored
    for got, wanted in zip(
        unpack_array(codec.decode(stored)[None], manifest.sent), golden_tensors(), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_golden_features_encode_to_the_stored_payload(name):
    codec = codec_by_name(golden_codecs(), name)
    assert codec.encode(golden_features()).hex() == stored_hex("payloads.json")[name].hex()


@pytest.mark.parametrize("name", ["fp32", "fp16", "int8"])
def test_a_stored_payload_of_a_fine_codec_decodes_to_the_golden_features(name):
    codec = codec_by_name(golden_codecs(), name)
    np.testing.assert_array_equal(codec.decode(stored_hex("payloads.json")[name]), golden_features())


@pytest.mark.parametrize(("name", "levels"), [("q8", 256), ("q4", 16)])
def test_a_stored_payload_of_a_table_codec_decodes_to_the_levels_that_the_formula_gives(name, levels):
    decoded = codec_by_name(golden_codecs(), name).decode(stored_hex("payloads.json")[name])
    zero_level = levels // 3
    for channel, step in enumerate([np.float32(3 / (levels - 1)), np.float32(1.5 / (levels - 1))]):
        for value, got in zip(golden_features()[channel].ravel(), decoded[channel].ravel(), strict=True):
            level = min(max(round(float(value) / float(step)) + zero_level, 0), levels - 1)
            assert got == np.float32(level - zero_level) * step


@pytest.mark.parametrize("key", ["frame", "frame_without_budget", "answer", "refusal"])
def test_messages_are_the_bytes_that_were_stored_and_read_back_from_them(key):
    message, stored = golden_messages()[key], stored_hex("messages.json")[key]
    assert message.SerializeToString() == stored
    assert type(message).FromString(stored) == message


@pytest.mark.parametrize("key", ["frames", "replies"])
def test_messages_of_several_are_the_bytes_that_were_stored_and_read_back_from_them(key):
    message, stored = golden_bulk_messages()[key], stored_hex("bulk_messages.json")[key]
    assert message.SerializeToString() == stored
    assert type(message).FromString(stored) == message


def test_the_golden_features_have_the_golden_shape():
    assert golden_features().shape == SHAPE
    assert (golden_features() == 0).sum() == 13


@pytest.mark.parametrize("key", ["answer", "refusal"])
def test_sealed_replies_are_the_bytes_that_were_stored_and_say_what_they_said_unsealed(key):
    stored = stored_hex("sealed_replies.json")[key]
    assert golden_sealed()[key] == stored
    read = type(golden_messages()[key]).FromString(stored)
    assert read.HasField("checksum")
    read.ClearField("checksum")
    assert read == golden_messages()[key]


@pytest.mark.parametrize("key", list(golden_output_messages()))
def test_messages_with_outputs_are_read_and_written_as_before(key):
    message, stored = golden_output_messages()[key], stored_hex("output_messages.json")[key]
    assert type(message).FromString(stored) == message
    assert message.SerializeToString() == stored


def test_who_knows_no_outputs_reads_the_classes_beside_them():
    """A message of the fields that there were before, as a client of that time has it."""
    fields = descriptor_pb2.DescriptorProto()
    pb.Prediction.DESCRIPTOR.CopyToProto(fields)
    del fields.field[3:]
    file = descriptor_pb2.FileDescriptorProto(name="before.proto", package="before", syntax="proto3")
    timings = descriptor_pb2.DescriptorProto()
    pb.Timings.DESCRIPTOR.CopyToProto(timings)
    fields.field[2].type_name = ".before.Timings"
    file.message_type.extend([fields, timings])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    before = message_factory.GetMessageClass(pool.FindMessageTypeByName("before.Prediction"))
    reply = pb.Reply.FromString(stored_hex("output_messages.json")["answer_with_outputs"])
    read: Any = before.FromString(reply.prediction.SerializeToString())
    assert (list(read.class_index), list(read.score)) == ([1], [0.75])


def test_the_vectors_for_other_languages_are_those_that_were_stored():
    stored = json.loads((HERE / "vectors.json").read_text())
    assert stored == vectors.make_vectors()
    payloads = stored_hex("payloads.json")
    assert stored["cases"][0]["payloads"] == {name: payloads[name].hex() for name in vectors.NAMES}


@pytest.mark.parametrize("name", ["q8", "q4"])
def test_the_corners_of_the_vectors_tell_float32_from_float64_and_halves_to_even_from_halves_up(name):
    body: Any = codec_by_name(golden_codecs(), name).body
    quantiser = body.quantiser
    features = vectors.corners().reshape(2, -1)
    steps, zeros = quantiser.steps[:, None], quantiser.zero_levels[:, None]
    inside = np.clip(features, quantiser.lowest, quantiser.highest)
    right = quantiser.quantise(features)
    assert np.any(np.rint(inside.astype(np.float64) / steps.astype(np.float64)) + zeros != right)
    assert np.any(np.floor(inside / steps + np.float32(0.5)) + zeros != right)


def test_what_the_vectors_call_refused_is_refused():
    for wrong in json.loads((HERE / "vectors.json").read_text())["refused"]:
        with pytest.raises(CodecError):
            codec_by_name(golden_codecs(), wrong["codec"]).decode(bytes.fromhex(wrong["payload"]))


@pytest.mark.parametrize("built", [compiled.native, None], ids=["as built", "numpy"])
def test_the_stored_payload_of_the_stored_signed_codec_reads_and_writes_the_same_for_ever(built, monkeypatch):
    monkeypatch.setattr(signed_levels, "native", built)
    stored = json.loads((HERE / "signed.json").read_text())
    spec = CodecSpec(stored["name"], stored["kind"], stored["parameters"])
    body = make_body(spec, FeatureSpec(*stored["shape"]))
    levels = np.array(stored["levels"], np.float32)
    assert body.write(levels, PlainSeal()).hex() == stored["body"]
    assert np.array_equal(body.read(bytes.fromhex(stored["body"]), PlainSeal()), levels)


def test_the_stored_packed_payload_reads_and_writes_the_same_for_ever():
    codec = SealedCodec(golden_packed(), 3, pack(PACKED), "ab" * 32, PACKED)
    twice = np.concatenate([golden_features().ravel()] * 2)[:, None, None]
    stored = stored_hex("packed.json")["payload"]
    assert codec.encode(twice) == stored
    assert codec.encode(codec.decode(stored)) == stored
