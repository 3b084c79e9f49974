"""The codec of signed, decorrelated channels under one step."""

import binascii
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siftfunnel.shared.manifest import BundleError, CodecSpec, FeatureSpec
from siftfunnel.shared.wire import (
    CodecError,
    calibrate_signed,
    make_codecs,
)
from siftfunnel.shared.wire.kinds import encode_array, make_body
from siftfunnel.shared.wire.plain_ans import PlainAnsTables
from siftfunnel.shared.wire.signed import (
    LIMIT,
    ONES,
    SignedContexts,
    digits_of,
    from_digits,
    level_of_symbol,
    mask_of_symbol,
    symbol_of_level,
)
from siftfunnel.shared.wire.signed_calibration import cluster
from siftfunnel.shared.wire.signed_levels import SignedScan
from tests.shared.golden import PlainSeal
from tests.shared.wire.test_codec import DIGEST, OTHER_DIGEST, manifest_with

SHAPE = (12, 5, 6)
STEP = 0.5
SEAL = PlainSeal()


def decorrelated(seed: int, count: int = 120, shape=SHAPE, falls: float = 0.6) -> np.ndarray:
    """Signed, heavy-tailed channels, each smaller than the one before, the last two all zero."""
    rng = np.random.default_rng(seed)
    busy = rng.gamma(1, 1, (count, 1, 3, 3)).repeat(3, 2).repeat(3, 3)[:, :, : shape[1], : shape[2]]
    scales = 4 * falls ** np.arange(shape[0])[:, None, None]
    smooth = rng.normal(0, 1, (count, shape[0], 1, 1))
    features = (rng.laplace(0, 1, (count, *shape)) * busy + smooth) * scales
    features[:, -2:] = 0
    return features.astype(np.float32)


SPEC = calibrate_signed("s1", decorrelated(0), STEP)
CODEC = make_codecs(manifest_with((SPEC,), SHAPE), DIGEST)[0]
BODY = CODEC.body
SENT = np.frombuffer(binascii.a2b_base64(SPEC.parameters["flags"]), np.uint8) != 255
FREE = make_body(
    CodecSpec("s2", "signed", {**SPEC.parameters, "most_bytes": 4 * 360 + 16}), FeatureSpec(*SHAPE)
)


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
    restored = FREE.read(FREE.write(flat(features), SEAL), SEAL)
    assert np.array_equal(restored, flat(wanted(features)))
    assert np.abs(restored - flat(features))[SENT].max() <= STEP / 2 * (1 + 1e-5)


def test_a_frame_without_a_single_level_comes_back_as_zeros():
    """Such as a black picture's."""
    assert not CODEC.decode(CODEC.encode(np.full(SHAPE, 0.01, np.float32))).any()


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


def test_fresh_features_take_about_what_was_counted():
    sizes = [len(CODEC.encode(feature)) for feature in decorrelated(1)]
    assert np.mean(sizes) == pytest.approx(SPEC.parameters["mean_bytes"], rel=0.1)


def test_context_makes_payloads_smaller_than_the_same_levels_in_any_order():
    features = decorrelated(0, shape=(48, 5, 6), falls=0.93)
    flat_features = features.reshape(120, 48, -1)
    shuffled = np.random.default_rng(0).permuted(flat_features, axis=2).reshape(features.shape)
    with_context, without = (
        calibrate_signed("s1", its, STEP).parameters["mean_bytes"] for its in (features, shuffled)
    )
    assert with_context < 0.98 * without


def test_a_channel_of_zeros_costs_next_to_nothing():
    feature = decorrelated(3, count=1)[0]
    more = np.concatenate([feature, np.zeros((500, 5, 6), np.float32)])
    features = np.concatenate([decorrelated(0), 0.3 * decorrelated(5, shape=(500, 5, 6))], axis=1)
    # every channel is sent in some frame
    features[0, 12:, 0, 0] = 1
    wide = make_body(calibrate_signed("s1", features, STEP), FeatureSpec(*more.shape))
    assert len(wide.write(flat(more), SEAL)) < len(FREE.write(flat(feature), SEAL)) + 16


def test_contexts_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    height, width, sent, most = 5, 6, 70, 10
    contexts = SignedContexts((1, 3, 9), ((9, 60), (3, 6), (12, 20)))
    kinds = rng.integers(0, 3, sent)
    of_masks, of_levels = ((3, *shape) for shape in (contexts.of_masks, contexts.of_levels))
    shape = (sent, height, width)
    levels = rng.integers(-most, most + 1, shape) * (rng.random(shape) < 0.3)
    levels[5] = 0
    seen = SignedScan(height, width, kinds, contexts, most).look(levels.reshape(sent, -1).astype(np.int8))
    active = np.delete(np.arange(sent), 5)
    assert np.flatnonzero(seen.flags).tolist() == active.tolist()
    eights = [active[start : start + 8] for start in range(0, len(active), 8)]
    first, rest = eights[:3], eights[3:]
    places = sorted(itertools.product(range(height), range(width)), key=lambda place: sum(place) % 2)

    def lit(channels, place):
        return [int(levels[(channel, *place)] != 0) for channel in channels]

    def activity(of, number):
        return int(np.searchsorted(contexts.activities[of], number, side="right"))

    masks, mask_rows = [], []
    for stage, (place, eight) in enumerate(
        itertools.chain.from_iterable(
            [[*itertools.product(places, first)], [*itertools.product(places, rest)]]
        )
    ):
        stage = int(stage >= len(places) * len(first))
        busy = sum(sum(lit(its, place)) for its in first) if stage else len(active)
        mask_rows.append(np.ravel_multi_index((kinds[eight[0]], stage, activity(stage, busy)), of_masks))
        masks.append(sum(bit << 7 - at for at, bit in enumerate(lit(eight, place))))
    assert seen.masks.tolist() == masks
    assert seen.mask_contexts.tolist() == mask_rows

    padded = np.pad(levels, ((0, 0), (1, 1), (1, 1)))
    values, symbols, rows = [], [], []
    for (y, x), channel in itertools.product(places, active):
        value = int(levels[channel, y, x])
        if value:
            near = [padded[channel, 1 + y + i, 1 + x + j] for i, j in ((-1, 0), (1, 0), (0, -1), (0, 1))]
            its_class, sign = 0, 1
            if (y + x) % 2:
                its_class = 1 + int(np.searchsorted(contexts.bounds, abs(sum(near)), side="right"))
                sign = -1 if sum(near) < 0 else 1
            its_activity = activity(2, sum(lit(active, (y, x))))
            values.append(value)
            symbols.append(2 * abs(value) - (2 if value * sign > 0 else 1))
            rows.append(np.ravel_multi_index((kinds[channel], its_activity, its_class), of_levels))
    assert seen.values.tolist() == values
    assert seen.symbols.tolist() == symbols
    assert seen.contexts.tolist() == rows
    assert seen.even == sum(row % of_levels[2] == 0 for row in rows)


def test_masks_of_few_ones_come_first_and_each_once():
    masks = mask_of_symbol()
    assert sorted(masks.tolist()) == list(range(256))
    ones = [int(mask).bit_count() for mask in masks]
    assert ones == sorted(ones) == ONES[masks].tolist()


def test_a_mask_that_names_a_channel_behind_the_last_one_is_refused():
    channels = int(SENT.sum())
    assert channels % 8

    def pop(runs):
        return [np.full(end - start, 255, np.int32) for _, start, end in runs]

    body: Any = BODY
    with pytest.raises(CodecError, match="behind the last one"):
        body._levels.fill(b"\1" * channels, 0, pop)


@pytest.mark.parametrize("symbols", [18, 32, 62])
def test_levels_and_symbols_are_each_other_s(symbols):
    levels = level_of_symbol(symbols)
    assert sorted([0, *levels]) == list(range(-(symbols // 2), symbols // 2 + 1))
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
        restored = BODY.read(body, SEAL)
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
    monkeypatch.setattr("siftfunnel.shared.wire.context_body.make_tables", PlainAnsTables)
    plain = make_body(SPEC, FeatureSpec(*SHAPE))
    for feature in decorrelated(5, count=20):
        body = BODY.write(flat(feature), SEAL)
        assert plain.write(flat(feature), SEAL) == body
        assert np.array_equal(plain.read(body, SEAL), BODY.read(body, SEAL))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"levels": 17}, "counts|even number"),
        ({"step": 0}, "step"),
        ({"kinds": encode_array(np.full(12, 64), "u1")}, "64 are the most"),
        ({"kinds": encode_array(np.full(12, 1), "u1")}, "choices"),
        ({"activities": [[1, 2], [1, 2]]}, "3 lists"),
        ({"mask_choices": encode_array(np.zeros(3), "u1")}, "mask_choices"),
        ({"mask_tables": 1}, "mask_counts"),
        (
            {"mask_tables": 1, "mask_counts": encode_array(np.full(256, 256), "<u2")},
            "mask_choices name table",
        ),
        ({"mask_counts": encode_array(np.full(256 * SPEC.parameters["mask_tables"], 255), "<u2")}, "add up"),
        ({"activities": [[1, 2], [1, 2], [1]]}, "3 lists"),
        ({"activities": [[1, 2], [1, 2], [2, 1]]}, "rise from 1"),
        ({"activities": [1, 2, 3]}, "lists of integers"),
        ({"bounds": []}, "1 to 62 bounds"),
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
