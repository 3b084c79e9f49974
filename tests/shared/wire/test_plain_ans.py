"""The plain coder and `constriction` write the same bytes and read the same levels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from siftfunnel.shared.wire.entropy import AnsTables
from siftfunnel.shared.wire.errors import CodecError
from siftfunnel.shared.wire.plain_ans import PlainAnsTables, left_edges
from siftfunnel.shared.wire.stack import StackTables, one_run_each
from siftfunnel.shared.wire.tables import counts_from_histogram

pytest.importorskip("constriction")


def tables(seed: int, channels: int, levels: int, precision_bits: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    histograms = rng.integers(0, 1000, (channels, levels)) ** rng.integers(1, 3, (channels, 1))
    return np.stack([counts_from_histogram(row, precision_bits) for row in histograms])


shapes = {
    "seed": st.integers(0, 10_000),
    "channels": st.integers(1, 5),
    "levels": st.sampled_from([2, 16, 33, 256]),
    "precision_bits": st.sampled_from([12, 14]),
}


def test_edges_of_a_fair_coin_split_the_range_in_half() -> None:
    assert left_edges(np.array([2048, 2048], dtype=np.uint16)) == [0, 8_388_608, 16_777_216]


@settings(deadline=None, max_examples=60)
@given(**shapes, symbols=st.integers(1, 80))
def test_both_coders_write_the_same_bytes_and_read_them_back(
    seed: int, channels: int, levels: int, precision_bits: int, symbols: int
) -> None:
    counts = tables(seed, channels, levels, precision_bits)
    drawn = np.random.default_rng(seed).integers(0, levels, channels * symbols).astype(np.int32)
    for start in (None, seed):
        written = AnsTables(counts).write(drawn, one_run_each(channels, symbols), start)
        assert PlainAnsTables(counts).write(drawn, one_run_each(channels, symbols), start) == written
        reader = PlainAnsTables(counts).read(written)
        np.testing.assert_array_equal(np.concatenate(reader.pop(one_run_each(channels, symbols))), drawn)
        assert reader.finish(start is not None) == (start or 0)


@settings(deadline=None, max_examples=150)
@given(**shapes, body=st.binary(max_size=64), symbols=st.integers(1, 20))
def test_both_coders_read_any_bytes_alike_or_both_refuse(
    seed: int, channels: int, levels: int, precision_bits: int, body: bytes, symbols: int
) -> None:
    counts = tables(seed, channels, levels, precision_bits)

    def decoded(coder: StackTables) -> list[int]:
        reader = coder.read(body)
        levels = np.concatenate(reader.pop(one_run_each(channels, symbols)))
        reader.finish()
        return levels.tolist()

    try:
        expected = decoded(AnsTables(counts))
    except CodecError:
        with pytest.raises(CodecError):
            decoded(PlainAnsTables(counts))
    else:
        assert decoded(PlainAnsTables(counts)) == expected


def test_a_level_outside_the_table_is_refused() -> None:
    counts = tables(0, 2, 16, 12)
    with pytest.raises(ValueError, match="0 to 15"):
        PlainAnsTables(counts).write(np.array([0, 16], dtype=np.int32), one_run_each(2, 1))
