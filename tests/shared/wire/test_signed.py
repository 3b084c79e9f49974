"""The codec of signed, decorrelated channels under one step."""

import binascii
import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siftfunnel.shared.manifest import BundleError, CodecSpec, FeatureSpec
from siftfunnel.shared.wire import (
    CodecError,
    calibrate_signed,
    describe,
    make_codecs,
    step_for,
)
from siftfunnel.shared.wire.bodies import encode_array, make_body
from siftfunnel.shared.wire.lattice import PHASES
from siftfunnel.shared.wire.lattice_body import LatticeBody
from siftfunnel.shared.wire.plain_ans import PlainAnsTables
from siftfunnel.shared.wire.signed import (
    LIMIT,
    SignedContexts,
    digits_of,
    from_digits,
    level_of_symbol,
    symbol_of_level,
)
from siftfunnel.shared.wire.signed_calibration import cluster
from siftfunnel.shared.wire.signed_levels import NumpySignedLevels, SignedLayout
from tests.shared.wire.test_codec import DIGEST, OTHER_DIGEST, manifest_with

SHAPE = (12, 5, 6)
STEP = 0.5


def decorrelated(seed: int, count: int = 120, shape=SHAPE) -> np.ndarray:
    """Signed, heavy-tailed channels, each smaller than the one before, the last two all zero."""
    rng = np.random.default_rng(seed)
    busy = rng.gamma(1, 1, (count, 1, 3, 3)).repeat(3, 2).repeat(3, 3)[:, :, : shape[1], : shape[2]]
    scales = 4 * 0.6 ** np.arange(shape[0])[:, None, None]
    smooth = rng.normal(0, 1, (count, shape[0], 1, 1))
    features = (rng.laplace(0, 1, (count, *shape)) * busy + smooth) * scales
    features[:, -2:] = 0
    return features.astype(np.float32)


SPEC = calibrate_signed("s1", decorrelated(0), STEP)
CODEC = make_codecs(manifest_with((SPEC,), SHAPE), DIGEST)[0]
BODY = CODEC.body
assert isinstance(BODY, LatticeBody)
SENT = np.frombuffer(binascii.a2b_base64(SPEC.parameters["flags"]), np.uint8) != 255
FREE = make_body(
    CodecSpec("s2", "signed", {**SPEC.parameters, "most_bytes": 4 * 360 + 16}), FeatureSpec(*SHAPE)
)
assert isinstance(FREE, LatticeBody)


def checksum(data: bytes) -> int:
    return binascii.crc32(data)


def flat(features: np.ndarray) -> np.ndarray:
    return features.reshape(len(features), -1)


def wanted(features: np.ndarray, coarser: int = 0) -> np.ndarray:
    """What a decoder gives, by the definition."""
    step = np.float32(STEP)
    levels = np.rint(np.clip(features, -LIMIT * step, LIMIT * step) / np.ldexp(step, coarser))
    return np.where(SENT[:, None, None], levels * np.ldexp(step, coarser), 0).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, SHAPE, elements=st.floats(-1e6, 1e6, width=32)))
@example(np.full(SHAPE, 1e30, np.float32))
@example(np.zeros(SHAPE, np.float32))
def test_a_feature_comes_back_within_half_a_step_unless_the_ceiling_made_it_coarser(features):
    payload = CODEC.encode(features)
    assert CODEC.min_payload_bytes <= len(payload) <= CODEC.max_payload_bytes
    decoded = CODEC.decode(payload)
    assert any(np.array_equal(decoded, wanted(features, coarser)) for coarser in range(18))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.floats(0.1, 20_000))
def test_rare_large_levels_come_back_within_half_a_step_too(seed, count, size):
    rng = np.random.default_rng(seed)
    features = decorrelated(seed, count=1)[0] * 0.3
    places = rng.integers(0, features.size, count)
    features.ravel()[places] = rng.normal(0, size, count).clip(-LIMIT * STEP, LIMIT * STEP)
    restored = FREE.read(FREE.write(flat(features), checksum), checksum)
    assert np.array_equal(restored, flat(wanted(features)))
    assert np.abs(restored - flat(features))[SENT].max() <= STEP / 2 * (1 + 1e-5)


def test_a_level_beyond_the_range_saturates():
    features = np.zeros(SHAPE, np.float32)
    features[0, 0, 0], features[1, 2, 3] = 1e9, -1e9
    restored = CODEC.decode(CODEC.encode(features))
    assert restored[0, 0, 0] == LIMIT * STEP
    assert restored[1, 2, 3] == -LIMIT * STEP


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 9), (3, 9, 1), (2, 2, 2), (5, 3, 4), (40, 7, 7)])
def test_every_shape_round_trips(shape):
    features = np.random.default_rng(0).laplace(0, 2, (60, *shape)).astype(np.float32)
    spec = calibrate_signed("s1", features, 1.0)
    codec = make_codecs(manifest_with((spec,), shape), DIGEST)[0]
    for feature in features[:10]:
        assert np.array_equal(codec.decode(codec.encode(feature)), np.rint(feature))


def test_calibration_is_deterministic():
    assert calibrate_signed("s1", decorrelated(0), STEP).parameters == SPEC.parameters


def test_channels_that_never_have_a_level_are_left_out():
    assert SENT[:6].all()
    assert not SENT[-2:].any()
    assert f"{SENT.sum()} of 12 channels are ever sent" in describe(CODEC).precision


def test_fresh_features_take_about_what_was_counted():
    sizes = [len(CODEC.encode(feature)) for feature in decorrelated(1)]
    assert np.mean(sizes) == pytest.approx(describe(CODEC).expected_payload_bytes, rel=0.1)


def test_context_makes_payloads_smaller_than_the_same_levels_in_any_order():
    features = decorrelated(0)
    shuffled = (
        np.random.default_rng(0).permuted(features.reshape(120, 12, -1), axis=2).reshape(features.shape)
    )
    without = calibrate_signed("s1", shuffled, STEP).parameters["mean_bytes"]
    assert SPEC.parameters["mean_bytes"] < 0.98 * without


def test_a_channel_of_zeros_costs_next_to_nothing():
    feature = decorrelated(3, count=1)[0]
    more = np.concatenate([feature, np.zeros((500, 5, 6), np.float32)])
    features = np.concatenate([decorrelated(0), 0.3 * decorrelated(5, shape=(500, 5, 6))], axis=1)
    # every channel is sent in some frame
    features[0, 12:, 0, 0] = 1
    wide = make_body(calibrate_signed("s1", features, STEP), FeatureSpec(*more.shape))
    assert len(wide.write(flat(more), checksum)) < len(FREE.write(flat(feature), checksum)) + 16


def test_the_step_for_so_many_bytes_gives_about_so_many():
    features = decorrelated(0)
    for bytes_ in (60, 120):
        spec = calibrate_signed("s1", features, step_for(features, bytes_))
        assert spec.parameters["mean_bytes"] == pytest.approx(bytes_, rel=0.15)
    with pytest.raises(ValueError, match="no step gives"):
        step_for(features, 10**6)


def test_contexts_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    contexts = SignedContexts((1, 3, 9), ((2, 3), (10, 40), (15, 60)))
    kinds, shape = rng.integers(0, 3, 4), contexts.shape
    layout = SignedLayout(
        channels=4, height=5, width=6, levels=21, sent=np.arange(4), step=np.float32(1), contexts=contexts,
        kinds=kinds, choices=np.zeros((3, *shape), np.uint8), tables=1,
    )  # fmt: skip
    coder = NumpySignedLevels(layout)
    levels = rng.integers(-10, 11, (4, 5, 6))
    cells = coder.cells(levels.reshape(4, -1).astype(np.int8))
    _, of_kind = coder.active(b"\1" * 4)
    parts = [[(0, 0)], [(1, 1)], [(0, 1), (1, 0)]]
    around = [[], list(itertools.product((-1, 1), (-1, 1))), [(-1, 0), (1, 0), (0, -1), (0, 1)]]
    padded = np.pad(levels, ((0, 0), (1, 1), (1, 1)))
    for phase in range(PHASES):
        expected = []
        for row, column in parts[phase]:
            for y, x, channel in itertools.product(range(row, 5, 2), range(column, 6, 2), range(4)):
                near = [padded[:, 1 + y + i, 1 + x + j] for i, j in around[phase]]
                total = sum(int(its[channel]) for its in near)
                activity = sum(int(np.abs(its).sum()) for its in near) if phase else 4
                its_class = np.searchsorted(contexts.bounds, abs(total), side="right")
                its_activity = np.searchsorted(contexts.activities[phase], activity, side="right")
                at = np.ravel_multi_index((kinds[channel], phase, its_activity, its_class), (3, *shape))
                expected.append((-1 if total < 0 else 1, int(at)))
        signs, rows = coder.contexts(phase, cells, of_kind)
        assert list(zip(signs.tolist(), rows.tolist(), strict=True)) == expected


@pytest.mark.parametrize("symbols", [17, 33, 63])
def test_levels_and_symbols_are_each_other_s(symbols):
    levels = level_of_symbol(symbols)
    assert sorted(levels) == list(range(-(symbols // 2), symbols // 2 + 1))
    assert np.array_equal(symbol_of_level()[levels.view(np.uint8)], np.arange(symbols))


@given(hnp.arrays(np.int32, st.integers(0, 9), elements=st.integers(0, 2**16 - 1)))
def test_digits_are_numbers(beyond):
    assert np.array_equal(from_digits(digits_of(beyond)), beyond)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
@example(b"")
@example(b"\0")
def test_any_body_is_read_or_refused_with_a_codec_error(body):
    try:
        restored = BODY.read(body, checksum)
    except CodecError:
        return
    assert restored.shape == (SHAPE[0], SHAPE[1] * SHAPE[2])
    assert np.isfinite(restored).all()


def test_every_flipped_bit_and_every_cut_of_a_payload_is_refused():
    feature = decorrelated(3, count=1)[0]
    feature[0, 0, 0] = 500
    payload = CODEC.encode(feature)
    for place, bit in itertools.product(range(len(payload)), range(8)):
        damaged = bytearray(payload)
        damaged[place] ^= 1 << bit
        with pytest.raises(CodecError):
            CODEC.decode(bytes(damaged))
    for length in range(len(payload)):
        with pytest.raises(CodecError):
            CODEC.decode(payload[:length])


def test_a_payload_of_another_bundle_is_refused():
    other = make_codecs(manifest_with((SPEC,), SHAPE), OTHER_DIGEST)[0]
    with pytest.raises(CodecError, match="codec s1"):
        CODEC.decode(other.encode(decorrelated(3, count=1)[0]))


def test_the_plain_coder_writes_and_reads_the_same(monkeypatch):
    monkeypatch.setattr("siftfunnel.shared.wire.lattice_body.make_tables", PlainAnsTables)
    plain = make_body(SPEC, FeatureSpec(*SHAPE))
    for feature in decorrelated(5, count=20):
        body = BODY.write(flat(feature), checksum)
        assert plain.write(flat(feature), checksum) == body
        assert np.array_equal(plain.read(body, checksum), BODY.read(body, checksum))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"levels": 16}, "counts|odd number"),
        ({"step": 0}, "step"),
        ({"kinds": encode_array(np.full(12, 64), "u1")}, "64 are the most"),
        ({"kinds": encode_array(np.full(12, 1), "u1")}, "choices"),
        ({"activities": [[1, 2], [1, 2]]}, "3 lists"),
        ({"activities": [[1, 2], [1, 2], [1]]}, "3 lists"),
        ({"activities": [[1, 2], [1, 2], [2, 1]]}, "rise from 1"),
        ({"activities": [1, 2, 3]}, "lists of integers"),
        ({"bounds": []}, "1 to 63 bounds"),
        ({"most_bytes": 4}, "a feature of zeros takes"),
        ({"more": 1}, "more"),
    ],
)
def test_wrong_parameters_are_named(change, complaint):
    with pytest.raises(BundleError, match=complaint):
        make_body(CodecSpec("s1", "signed", {**SPEC.parameters, **change}), FeatureSpec(*SHAPE))


@pytest.mark.parametrize(
    ("features", "step", "complaint"),
    [
        (np.zeros((10, *SHAPE), np.float32), 1, "nothing to send"),
        (np.zeros(SHAPE, np.float32), 1, "shape"),
        (np.full((2, *SHAPE), np.nan, np.float32), 1, "NaN"),
        (np.ones((2, *SHAPE), np.float32), 0, "step"),
    ],
)
def test_what_cannot_be_calibrated_on_is_refused(features, step, complaint):
    with pytest.raises(ValueError, match=complaint):
        calibrate_signed("s1", features, step)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.int64, (9, 4), elements=st.integers(0, 50)), st.integers(1, 9))
def test_clustered_tables_hold_every_symbol_once(histograms, most):
    if not histograms.any():
        return
    tables, chosen = cluster(histograms, most)
    assert 1 <= len(tables) <= most
    for table, histogram in enumerate(tables):
        assert histogram.any()
        assert np.array_equal(histograms[chosen == table].sum(axis=0), histogram)
