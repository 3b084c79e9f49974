"""The codec whose tables are chosen by context, against a reference that goes symbol by symbol."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siftfunnel.shared.json_fields import FieldError
from siftfunnel.shared.manifest import BundleError, CodecSpec, FeatureSpec
from siftfunnel.shared.wire import (
    CodecError,
    calibrate_lattice,
    compiled,
    lattice_levels,
    make_codecs,
)
from siftfunnel.shared.wire.kinds import encode_array, make_body
from siftfunnel.shared.wire.lattice import (
    CONTEXTS,
    FIRST,
    PARTS,
    Contexts,
    Grid,
    coding_order,
    phase_map,
    place_map,
)
from siftfunnel.shared.wire.lattice_calibration import merge_tables
from siftfunnel.shared.wire.plain_ans import PlainAnsTables
from tests.shared.golden import HERE, PlainSeal
from tests.shared.wire.test_codec import DIGEST, OTHER_DIGEST, manifest_with

SHAPE = (4, 5, 6)
STEPS = np.array([1, 0.5, 2, 0.25], np.float32)
SEAL = PlainSeal()


def sparse(seed: int, count: int = 150, shape=SHAPE) -> np.ndarray:
    """Mostly zeros, neighbours alike, the third channel dead."""
    rng = np.random.default_rng(seed)
    lit = rng.random((count, shape[0], 1, 1)) < 0.5
    features = rng.gamma(0.4, 2, (count, *shape)) * lit
    features[:, 2] = 0
    return features.astype(np.float32)


SPEC = calibrate_lattice("r9", sparse(0), STEPS, 16)
CODEC = make_codecs(manifest_with((SPEC,), SHAPE), DIGEST)[0]
BODY = CODEC.body
any_features = hnp.arrays(np.float32, SHAPE, elements=st.floats(-4, 40, width=32))


def flat(features: np.ndarray) -> np.ndarray:
    return features.reshape(SHAPE[0], -1)


def part(levels: np.ndarray, number: int) -> np.ndarray:
    row, column = PARTS[number]
    return levels[:, row::2, column::2]


def sums_one_by_one(levels: np.ndarray, number: int) -> np.ndarray:
    """The sum of every context of a part, by the definition."""
    channels, height, width = levels.shape
    around = [(-1, -1), (-1, 1), (1, -1), (1, 1)] if number == 1 else [(-1, 0), (1, 0), (0, -1), (0, 1)]
    found = np.zeros(levels.shape, np.int64)
    for channel, row, column in itertools.product(range(channels), range(height), range(width)):
        near = [(row + i, column + j) for i, j in around]
        inside = [(r, c) for r, c in near if 0 <= r < height and 0 <= c < width]
        found[channel, row, column] = sum(int(levels[channel, r, c]) for r, c in inside)
    return part(found, number)


@pytest.mark.parametrize("height", [1, 2, 3, 8])
@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_context_sums_are_those_of_the_definition_for_every_shape(height, width):
    levels = np.random.default_rng(height).integers(0, 64, (3, height, width)).astype(np.uint8)
    grid, order = Grid(3, height, width), coding_order(3, height, width)
    grid.levels[:] = levels
    for phase, numbers in ((1, (1,)), (2, (2, 3))):
        sums = grid.sums(phase)[order.positions[order.phases[phase]]]
        expected = [sums_one_by_one(levels, number).ravel() for number in numbers]
        assert np.array_equal(sums, np.concatenate(expected))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (3, 4), (16, 16)])
def test_every_position_has_one_phase_and_lies_in_one_part(height, width):
    grid, order = Grid(2, height, width), coding_order(2, height, width)
    grid.levels[:] = phase_map(height, width)
    for phase, its in enumerate(order.phases):
        assert (grid.flat[order.positions[its]] == phase).all()
    grid.levels[:] = 9
    assert sorted(order.positions) == np.flatnonzero(grid.flat).tolist()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (3, 4), (16, 16)])
def test_every_position_is_in_the_group_of_its_channel_and_place(height, width):
    grid, order = Grid(3, height, width), coding_order(3, height, width, 2)
    grid.levels[:] = 2 * np.arange(3)[:, None, None] + place_map(height, width)
    assert np.array_equal(grid.flat[order.positions], order.groups)
    at_edge = sum(
        row in (0, height - 1) or column in (0, width - 1) for row, column in np.ndindex(height, width)
    )
    assert np.count_nonzero(order.groups % 2) == 3 * at_edge


def test_a_codec_that_does_not_say_its_contexts_has_the_first_ones():
    first = calibrate_lattice("r9", sparse(0), STEPS, 16, FIRST)
    unsaid = {name: value for name, value in first.parameters.items() if name not in ("bounds", "places")}
    old = make_body(CodecSpec("r9", "lattice", unsaid), FeatureSpec(*SHAPE))
    new = make_body(first, FeatureSpec(*SHAPE))
    for feature in sparse(4, count=20):
        assert old.write(flat(feature), SEAL) == new.write(flat(feature), SEAL)


def test_finer_sums_and_the_edge_make_payloads_smaller_where_levels_are_dense():
    rng = np.random.default_rng(0)
    ground = rng.gamma(2, 1, (400, 2, 3, 3)).repeat(3, axis=2).repeat(3, axis=3)
    dense = (ground + rng.normal(0, 0.5, ground.shape)).clip(0).astype(np.float32)
    dense[:, :, [0, -1]] *= 0.5
    steps = np.full(2, 0.5, np.float32)
    sizes = [
        calibrate_lattice("r1", dense, steps, 16, contexts).parameters["mean_bytes"]
        for contexts in (FIRST, Contexts(CONTEXTS.bounds, 1), CONTEXTS)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


@settings(max_examples=60, deadline=None)
@given(any_features)
def test_a_feature_comes_back_within_half_a_step_unless_the_ceiling_made_it_coarser(features):
    body = BODY.write(flat(features), SEAL)
    assert len(body) <= BODY.most_bytes
    restored = BODY.read(body, SEAL).reshape(SHAPE)
    for coarser in range(6):
        steps = STEPS[:, None, None] * 2**coarser
        wanted = np.rint(np.clip(features, 0, 15 * STEPS[:, None, None]) / steps) * steps
        wanted[2] = 0
        if np.array_equal(wanted, restored):
            return
    pytest.fail("no coarseness explains what came back")


@settings(max_examples=40, deadline=None)
@given(any_features)
def test_what_was_decoded_encodes_to_the_same_payload_while_it_is_not_coarser(features):
    payload = CODEC.encode(features)
    once = CODEC.decode(payload)
    steps = STEPS[:, None, None]
    finest = np.rint(np.clip(features, 0, 15 * steps) / steps) * steps
    finest[2] = 0
    if np.array_equal(once, finest):
        assert np.array_equal(CODEC.decode(CODEC.encode(once)), once)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
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
    payload = CODEC.encode(sparse(3)[0])
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
    with pytest.raises(CodecError, match="codec r9"):
        CODEC.decode(other.encode(sparse(3)[0]))


@pytest.mark.parametrize("seed", range(5))
def test_a_feature_made_to_be_expensive_stays_under_the_ceiling_and_keeps_what_it_can(seed):
    rng = np.random.default_rng(seed)
    features = (rng.random(SHAPE) * 1e30 * (rng.random(SHAPE) < 0.5)).astype(np.float32)
    payload = CODEC.encode(features)
    assert len(payload) <= CODEC.max_payload_bytes == BODY.most_bytes
    assert CODEC.decode(payload).shape == SHAPE


def test_the_dearest_feature_under_a_tight_ceiling_becomes_zeros():
    tight = CodecSpec("r1", "lattice", {**SPEC.parameters, "most_bytes": 8})
    body = make_body(tight, FeatureSpec(*SHAPE))
    noise = (np.random.default_rng(0).random(flat(sparse(0)[0]).shape) * 15).astype(np.float32)
    assert not body.read(body.write(noise, SEAL), SEAL).any()


def test_a_ceiling_that_even_zeros_do_not_fit_is_refused():
    low = CodecSpec("r1", "lattice", {**SPEC.parameters, "most_bytes": 4})
    with pytest.raises(BundleError, match="a feature of zeros takes"):
        make_body(low, FeatureSpec(*SHAPE))


def test_the_mean_payload_is_what_the_manifest_says():
    payloads = [CODEC.encode(feature) for feature in sparse(0)]
    assert SPEC.parameters["mean_bytes"] == pytest.approx(np.mean([len(p) for p in payloads]), abs=0.1)


def test_context_makes_payloads_smaller_than_one_table_per_channel():
    smooth = np.repeat(np.repeat(sparse(1)[:, :, ::2, ::2], 2, axis=2), 2, axis=3)[:, :, :5, :6]
    shuffled = (
        np.random.default_rng(0).permuted(smooth.reshape(len(smooth), 4, -1), axis=2).reshape(smooth.shape)
    )
    with_context, without = (
        calibrate_lattice("r1", its, STEPS, 16).parameters["mean_bytes"] for its in (smooth, shuffled)
    )
    assert with_context < 0.9 * without


def test_the_plain_coder_writes_and_reads_the_same(monkeypatch):
    monkeypatch.setattr("siftfunnel.shared.wire.context_body.make_tables", PlainAnsTables)
    plain = make_body(SPEC, FeatureSpec(*SHAPE))
    for feature in sparse(5, count=20):
        body = BODY.write(flat(feature), SEAL)
        assert plain.write(flat(feature), SEAL) == body
        assert np.array_equal(plain.read(body, SEAL), BODY.read(body, SEAL))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"levels": 3}, "steps|counts|levels"),
        ({"tables": 85}, "tables"),
        ({"choices": ""}, "choices"),
        ({"most_bytes": 0}, "most_bytes"),
        ({"steps": "AAAA"}, "steps"),
        ({"more": 1}, "more"),
        ({"bounds": [1, 2]}, "choices"),
        ({"bounds": [2, 2, 3]}, "rise from 1"),
        ({"bounds": [0]}, "rise from 1"),
        ({"bounds": []}, "1 to 63 bounds"),
        ({"bounds": [1, True]}, "integers"),
        ({"bounds": [1, 10**30]}, "no sum of levels reaches"),
        ({"places": 3}, "places"),
    ],
)
def test_wrong_parameters_are_named(change, complaint):
    with pytest.raises((BundleError, FieldError), match=complaint):
        make_body(CodecSpec("r1", "lattice", {**SPEC.parameters, **change}), FeatureSpec(*SHAPE))


def test_a_table_that_is_not_there_or_silence_alone_is_refused():
    for name, shape, value, complaint in (
        ("choices", (SHAPE[0], *CONTEXTS.shape), 40, "name table 40"),
        ("flags", SHAPE[:1], 40, "name table 40"),
        ("flags", SHAPE[:1], 255, "every channel silent"),
    ):
        changed = {**SPEC.parameters, name: encode_array(np.full(shape, value, np.uint8), "u1")}
        with pytest.raises(BundleError, match=complaint):
            make_body(CodecSpec("r1", "lattice", changed), FeatureSpec(*SHAPE))


def test_more_levels_than_a_byte_can_sum_are_refused():
    with pytest.raises((BundleError, ValueError), match="4 to 64"):
        calibrate_lattice("r1", sparse(0), STEPS, 65)


def test_features_that_all_round_to_zero_cannot_be_calibrated_on():
    with pytest.raises(ValueError, match="nothing to send"):
        calibrate_lattice("r1", np.zeros((10, *SHAPE), np.float32), STEPS, 16)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.int64, (9, 4), elements=st.integers(0, 50)), st.integers(1, 9))
def test_merged_tables_hold_every_symbol_once(histograms, most):
    if not histograms.any():
        return
    merged, chosen = merge_tables(histograms, most)
    assert 1 <= len(merged) <= most
    assert np.array_equal(sum(merged), histograms.sum(axis=0))
    for table, histogram in enumerate(merged):
        seen = histograms.any(axis=1) & (chosen == table)
        assert np.array_equal(histograms[seen].sum(axis=0), histogram)


@pytest.mark.parametrize("compiled", [compiled.native, None], ids=["as built", "numpy"])
@pytest.mark.parametrize("file", ["lattice.json", "lattice_places.json"])
def test_the_stored_payload_of_the_stored_codec_reads_and_writes_the_same_for_ever(
    file, compiled, monkeypatch
):
    monkeypatch.setattr(lattice_levels, "native", compiled)
    stored = json.loads((HERE / file).read_text())
    spec = CodecSpec(stored["name"], stored["kind"], stored["parameters"])
    body = make_body(spec, FeatureSpec(*stored["shape"]))
    levels = np.array(stored["levels"], np.float32)
    steps = np.array(stored["steps"], np.float32)[:, None]
    assert body.write(levels * steps, SEAL).hex() == stored["body"]
    assert np.array_equal(body.read(bytes.fromhex(stored["body"]), SEAL), levels * steps)
