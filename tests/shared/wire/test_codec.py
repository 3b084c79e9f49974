"""What every codec promises, for every codec that is calibrated at export."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siftfunnel.shared.bundle import CodecSpec, FeatureSpec, Manifest
from siftfunnel.shared.preprocess import InputSpec
from siftfunnel.shared.wire import CodecError, calibrate, codec_by_name, make_codecs
from siftfunnel.shared.wire.bodies import AffineBody, TableBody
from siftfunnel.shared.wire.seal import SEAL_BYTES, Seal

SHAPE = (3, 4, 5)
NAMES = ("fp32", "fp16", "int8", "q8", "q7", "q6", "q5", "q4")
DIGEST, OTHER_DIGEST = "ab" * 32, "cd" * 32


def relu_like(seed: int, count: int = 200) -> np.ndarray:
    """Features as a network gives them: half zero, one channel dead, one with negative values."""
    rng = np.random.default_rng(seed)
    features = np.maximum(rng.normal(0, 1, (count, *SHAPE)), 0)
    features[:, 1] = 0
    features[:, 2] -= 0.5
    return features.astype(np.float32)


def manifest_with(codecs: tuple[CodecSpec, ...], shape=SHAPE) -> Manifest:
    return Manifest(
        name="test",
        architecture="test",
        defence="none",
        split_point="test",
        input=InputSpec(8, 8),
        feature=FeatureSpec(*shape),
        classes=("a", "b"),
        label_kind="category",
        codecs=codecs,
        default_codec=codecs[0].name,
    )


MANIFEST = manifest_with(calibrate(relu_like(seed=0)))
CODECS = make_codecs(MANIFEST, DIGEST)
fewer = settings(max_examples=40)
every_codec = pytest.mark.parametrize("codec", CODECS, ids=NAMES)
any_features = hnp.arrays(
    np.float32, SHAPE, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
)
likely_features = hnp.arrays(np.float32, SHAPE, elements=st.floats(-1, 4, width=32))


def test_codecs_stand_in_manifest_order_and_know_their_index():
    assert tuple(codec.name for codec in CODECS) == NAMES
    assert [codec.index for codec in CODECS] == list(range(8))


def test_a_codec_is_found_by_name_and_an_unknown_name_lists_what_there_is():
    assert codec_by_name(CODECS, "q6") is CODECS[5]
    with pytest.raises(CodecError, match="no codec 'zip' in this bundle; there are: fp32, fp16, int8, q8"):
        codec_by_name(CODECS, "zip")


def error_bound(codec, features: np.ndarray) -> np.ndarray:
    """Largest allowed |x - decode(encode(x))| per value, saturation included."""
    if codec.name == "fp32":
        return np.zeros(SHAPE)
    wide = features.astype(np.float64)
    if codec.name == "fp16":
        # half of the last of 11 digits; below 2^-14 the digits are spaced 2^-24
        return np.maximum(np.abs(wide) * 2.0**-11, 2.0**-25) + np.maximum(np.abs(wide) - 65504, 0)
    quantiser = codec.body.quantiser
    lowest, highest = (side.astype(np.float64)[..., None] for side in (quantiser.lowest, quantiser.highest))
    outside = np.maximum(np.maximum(lowest - wide, wide - highest), 0)
    rounding = 1e-6 * np.maximum(np.abs(lowest), np.abs(highest))
    return outside + quantiser.steps.astype(np.float64)[:, None, None] / 2 + rounding


@every_codec
@fewer
@given(features=any_features)
def test_any_finite_features_come_back_within_the_bound(codec, features):
    payload = codec.encode(features)
    assert codec.min_payload_bytes <= len(payload) <= codec.max_payload_bytes
    decoded = codec.decode(payload)
    assert decoded.dtype == np.float32
    assert decoded.shape == SHAPE
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable
    assert np.all(np.abs(decoded.astype(np.float64) - features) <= error_bound(codec, features))


@every_codec
@fewer
@given(features=likely_features)
def test_what_was_decoded_encodes_to_the_same_payload_again(codec, features):
    payload = codec.encode(features)
    assert codec.encode(codec.decode(payload)) == payload


@every_codec
def test_zero_comes_back_as_exactly_zero(codec):
    features = relu_like(seed=3)[0]
    decoded = codec.decode(codec.encode(features))
    assert np.all(decoded[features == 0] == 0)


@every_codec
def test_encoding_leaves_the_features_as_they_were(codec):
    features = relu_like(seed=4)[0]
    before = features.copy()
    codec.encode(features)
    np.testing.assert_array_equal(features, before)


@every_codec
def test_a_tensor_that_is_not_contiguous_encodes_like_its_copy(codec):
    features = relu_like(seed=5)[0]
    strided = np.asfortranarray(features)
    assert codec.encode(strided) == codec.encode(features)


@every_codec
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(codec, value):
    features = relu_like(seed=6)[0]
    features[2, 3, 4] = value
    with pytest.raises(CodecError, match="NaN or infinity"):
        codec.encode(features)


@every_codec
@pytest.mark.parametrize("shape", [(3, 4), (1, 3, 4, 5), (5, 4, 3), (3, 4, 6), (60,), ()])
def test_another_shape_is_refused_with_both_shapes_named(codec, shape):
    with pytest.raises(CodecError, match=r"expected float32 features of shape \(3, 4, 5\), not float32"):
        codec.encode(np.zeros(shape, np.float32))


@every_codec
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint8])
def test_another_type_is_refused(codec, dtype):
    with pytest.raises(CodecError, match="expected float32"):
        codec.encode(np.zeros(SHAPE, dtype))


@pytest.mark.parametrize("name", ["int8", "q8", "q6", "q4"])
def test_values_outside_the_calibrated_range_saturate_at_its_ends(name):
    codec: Any = codec_by_name(CODECS, name)
    quantiser = codec.body.quantiser
    for value, end in ((3e38, quantiser.highest), (-3e38, quantiser.lowest)):
        decoded = codec.decode(codec.encode(np.full(SHAPE, value, np.float32)))
        np.testing.assert_array_equal(decoded, np.broadcast_to(end[..., None], SHAPE))


def test_half_precision_saturates_at_its_largest_number():
    codec = codec_by_name(CODECS, "fp16")
    decoded = codec.decode(codec.encode(np.full(SHAPE, -1e30, np.float32)))
    np.testing.assert_array_equal(decoded, np.full(SHAPE, -65504, np.float32))


def test_fewer_levels_cost_fewer_bytes_on_features_like_those_calibrated_on():
    features = relu_like(seed=7, count=50)
    sizes = [sum(len(codec.encode(one)) for one in features) for codec in CODECS]
    assert sizes == sorted(sizes, reverse=True)


# what comes from the network


@every_codec
@fewer
@given(payload=st.binary(max_size=300))
def test_random_bytes_are_refused(codec, payload):
    # one in 2**32 has a fitting checksum: none that hypothesis will find
    with pytest.raises(CodecError):
        codec.decode(payload)


@every_codec
@fewer
@given(data=st.data())
def test_bytes_with_a_fitting_checksum_decode_within_bounds_or_are_refused(codec, data):
    length = data.draw(st.integers(codec.min_payload_bytes, codec.max_payload_bytes)) - SEAL_BYTES
    body = data.draw(st.binary(min_size=length, max_size=length))
    try:
        decoded = codec.decode(Seal(DIGEST, codec.index).close(body))
    except CodecError:
        return
    assert decoded.shape == SHAPE
    assert np.isfinite(decoded).all()
    if isinstance(codec.body, AffineBody | TableBody):
        assert np.all(decoded >= codec.body.quantiser.lowest[..., None])
        assert np.all(decoded <= codec.body.quantiser.highest[..., None])


@every_codec
def test_every_truncation_is_refused(codec):
    payload = codec.encode(relu_like(seed=8)[0])
    for length in range(len(payload)):
        with pytest.raises(CodecError):
            codec.decode(payload[:length])


@every_codec
def test_every_flipped_bit_is_refused(codec):
    payload = codec.encode(relu_like(seed=9)[0])
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError, match="checksum differs"):
            codec.decode(bytes(damaged))


@every_codec
def test_bytes_in_front_or_behind_are_refused(codec):
    payload = codec.encode(relu_like(seed=10)[0])
    for changed in (payload + b"\0", b"\0" + payload, payload + payload, payload + bytes(4)):
        with pytest.raises(CodecError):
            codec.decode(changed)


@every_codec
def test_a_payload_of_another_bundle_is_refused(codec):
    other = make_codecs(MANIFEST, OTHER_DIGEST)[codec.index]
    with pytest.raises(CodecError, match="of another bundle or codec"):
        codec.decode(other.encode(relu_like(seed=11)[0]))


def test_a_payload_of_another_codec_of_the_same_bundle_is_refused():
    features = relu_like(seed=12)[0]
    for written in CODECS:
        for read in CODECS:
            if read is not written:
                with pytest.raises(CodecError):
                    read.decode(written.encode(features))


@every_codec
def test_a_payload_longer_than_any_is_refused_by_its_length_alone(codec):
    with pytest.raises(CodecError, match=f"payload of {codec.max_payload_bytes + 1} bytes, expected"):
        codec.decode(bytes(codec.max_payload_bytes + 1))


@pytest.mark.parametrize(("name", "pattern"), [("fp32", "0000c07f"), ("fp32", "000080ff"), ("fp16", "007e")])
def test_a_sealed_nan_or_infinity_is_refused(name, pattern):
    codec = codec_by_name(CODECS, name)
    body = bytes.fromhex(pattern).ljust(codec.max_payload_bytes - SEAL_BYTES, b"\0")
    with pytest.raises(CodecError, match="NaN or infinity"):
        codec.decode(Seal(DIGEST, codec.index).close(body))


@pytest.mark.parametrize("name", ["q8", "q7", "q6", "q5", "q4"])
def test_a_sealed_body_that_the_coder_did_not_write_is_refused(name):
    codec = codec_by_name(CODECS, name)
    generator = random.Random(0)
    for _ in range(200):
        words = generator.randbytes(4 * generator.randrange(20, codec.max_payload_bytes // 4))
        with pytest.raises(CodecError, match=r"more than one|not one that this coder writes"):
            codec.decode(Seal(DIGEST, codec.index).close(words))
    with pytest.raises(CodecError, match="not made of 4-byte words"):
        codec.decode(Seal(DIGEST, codec.index).close(b"abcde"))


# worst cases


@pytest.mark.parametrize("name", ["q8", "q4"])
def test_even_the_rarest_levels_keep_to_the_largest_size(name):
    shape = (2, 40, 40)
    zeros = np.zeros((4, *shape), np.float32)
    zeros[0, :, 0, 0] = 1.0
    codec = codec_by_name(make_codecs(manifest_with(calibrate(zeros), shape), DIGEST), name)
    payload = codec.encode(np.full(shape, 0.5, np.float32))
    assert 0.8 * codec.max_payload_bytes < len(payload) <= codec.max_payload_bytes
    assert codec.decode(payload).shape == shape


def test_a_feature_of_one_value_works():
    features = np.linspace(0, 1, 50, dtype=np.float32).reshape(50, 1, 1, 1)
    for codec in make_codecs(manifest_with(calibrate(features), (1, 1, 1)), DIGEST):
        assert codec.decode(codec.encode(features[49])).shape == (1, 1, 1)


def test_one_codec_serves_many_threads_at_once():
    features = relu_like(seed=13, count=64)
    fresh = make_codecs(MANIFEST, DIGEST)
    expected = [[codec.encode(one) for one in features] for codec in CODECS]
    with ThreadPoolExecutor(8) as pool:
        for codec, payloads in zip(fresh, expected, strict=True):
            assert list(pool.map(codec.encode, features)) == payloads
            for decoded, payload in zip(pool.map(codec.decode, payloads), payloads, strict=True):
                assert codec.encode(decoded) == payload
