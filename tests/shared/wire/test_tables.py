import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.wire.entropy import AnsTables
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.stack import one_run_each
from siftfunnel.shared.wire.tables import check_counts, counts_from_histogram, entropy_bits


def test_counts_share_a_power_of_two_in_proportion():
    assert counts_from_histogram(np.array([3, 1, 0, 0]), 12).tolist() == [3070, 1024, 1, 1]


def test_a_level_that_was_never_seen_still_gets_one():
    assert counts_from_histogram(np.array([10**9, 0]), 14).tolist() == [2**14 - 1, 1]


def test_a_channel_that_was_never_seen_gets_an_even_table():
    assert counts_from_histogram(np.zeros(4, np.int64), 12).tolist() == [1024] * 4


def test_ties_go_to_the_lower_level():
    assert counts_from_histogram(np.array([1, 1, 1]), 12).tolist() == [1366, 1365, 1365]


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=256), st.sampled_from([12, 14]))
def test_every_histogram_makes_a_valid_table(histogram, precision_bits):
    counts = counts_from_histogram(np.array(histogram), precision_bits)
    check_counts(counts[None], precision_bits)
    assert int(counts.sum()) == 2**precision_bits
    assert counts.min() >= 1


def test_a_count_of_zero_is_refused_and_the_channel_named():
    with pytest.raises(ValueError, match="counts of channel 1 hold a 0"):
        check_counts(np.array([[4095, 1], [4096, 0]], np.uint16), 12)


def test_a_wrong_sum_is_refused_and_the_channel_named():
    with pytest.raises(ValueError, match="counts of channel 1 add up to 4097, not 4096"):
        check_counts(np.array([[4095, 1], [4096, 1]], np.uint16), 12)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"precision_bits must be one of \(12, 14, 16\), not 13"):
        check_counts(np.array([[8191, 1]], np.uint16), 13)


def test_entropy_of_literal_tables():
    tables = np.array([[2048, 1024, 512, 512], [1024, 1024, 1024, 1024]], np.uint16)
    assert entropy_bits(tables).tolist() == [1.75, 2.0]


@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=2, max_size=2))
def test_levels_come_back_from_the_coder(levels):
    coder = AnsTables(np.array([[4093, 1, 1, 1], [1000, 1000, 1000, 1096]], np.uint16))
    reader = coder.read(coder.write(np.array(levels, np.int32).ravel(), one_run_each(2, 6)))
    assert [popped.tolist() for popped in reader.pop(one_run_each(2, 6))] == levels
    reader.finish()


@given(st.binary(max_size=64))
def test_a_body_decodes_only_if_encoding_gives_the_same_body(body):
    coder = AnsTables(np.array([[4093, 1, 1, 1], [1000, 1000, 1000, 1096]], np.uint16))
    try:
        reader = coder.read(body)
        levels = np.concatenate(reader.pop(one_run_each(2, 6)))
        reader.finish()
    except CodecError:
        return
    assert coder.write(levels, one_run_each(2, 6)) == body


def test_channels_that_say_nothing_cost_nothing():
    coder = AnsTables(np.array([[2**14 - 1, 1]], np.uint16))
    assert coder.write(np.zeros(1000, np.int32), one_run_each(1, 1000)) == b""
