import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siftfunnel.bench.cells.picture_codec import PictureCodec, is_picture_codec
from siftfunnel.shared.preprocess import InputSpec, normalise
from siftfunnel.shared.wire import CodecError

SPEC = InputSpec(32, 32)


@given(st.sampled_from(["jpeg", "webp"]), st.integers(1, 100), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_any_picture_at_any_quality_fits_and_comes_back_in_the_models_shape(
    kind: str, quality: int, seed: int
) -> None:
    codec = PictureCodec(f"{kind}-{quality}", 0, SPEC)
    payload = codec.encode(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    assert len(payload) <= codec.max_payload_bytes
    picture_CHW = codec.decode(payload)
    assert picture_CHW.shape == (3, 32, 32)
    assert picture_CHW.dtype == np.float32


def test_a_plain_picture_survives_high_quality() -> None:
    pixels_HWC = np.full((32, 32, 3), 120, np.uint8)
    codec = PictureCodec("jpeg-95", 0, SPEC)
    difference = codec.decode(codec.encode(pixels_HWC)) - normalise(pixels_HWC[None], SPEC)[0]
    assert np.abs(difference).max() < 0.05


def test_a_picture_that_was_cut_before_it_was_encoded_is_not_cut_again() -> None:
    pixels_HWC = np.zeros((32, 32, 3), np.uint8)
    pixels_HWC[:2] = pixels_HWC[-2:] = 255
    spec = InputSpec(32, 32, shorter_side=36)
    codec = PictureCodec("jpeg-95", 0, spec)
    difference = codec.decode(codec.encode(pixels_HWC)) - normalise(pixels_HWC[None], spec)[0]
    assert np.abs(difference).mean() < 0.1


def test_a_picture_of_another_size_is_a_codec_error() -> None:
    payload = PictureCodec("jpeg-75", 0, InputSpec(16, 32)).encode(np.zeros((16, 32, 3), np.uint8))
    with pytest.raises(CodecError, match="a picture of 32x16 pixels"):
        PictureCodec("jpeg-75", 0, SPEC).decode(payload)


@given(st.binary(max_size=400))
def test_what_is_no_picture_is_a_codec_error(payload: bytes) -> None:
    with pytest.raises(CodecError):
        PictureCodec("jpeg-75", 0, SPEC).decode(payload)


def test_a_damaged_picture_is_a_codec_error_or_still_a_picture() -> None:
    codec = PictureCodec("webp-75", 0, SPEC)
    payload = bytearray(codec.encode(np.zeros((32, 32, 3), np.uint8)))
    for place in range(len(payload)):
        broken = bytes(payload[:place]) + bytes([payload[place] ^ 0xFF]) + bytes(payload[place + 1 :])
        try:
            assert codec.decode(broken).shape == (3, 32, 32)
        except CodecError as error:
            assert "webp-75" in str(error)  # noqa: PT017 - both outcomes are right


def test_a_payload_above_the_limit_is_refused_unread() -> None:
    codec = PictureCodec("jpeg-75", 0, SPEC)
    with pytest.raises(CodecError, match="more than"):
        codec.decode(bytes(codec.max_payload_bytes + 1))


@pytest.mark.parametrize("name", ["jpeg", "jpeg-0", "webp-101", "png-75", "q4", ""])
def test_names_that_are_no_picture_codec_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="jpeg-QUALITY"):
        PictureCodec(name, 0, SPEC)
    assert not is_picture_codec("q4")
