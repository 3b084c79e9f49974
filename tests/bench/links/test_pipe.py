import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.bench.links.pipe import Pipe
from siftfunnel.bench.links.profiles import Direction

GAPS_AND_SIZES = st.lists(st.tuples(st.floats(0, 0.05), st.integers(20, 1500)), min_size=1, max_size=60)


def admitted(direction: Direction, gaps_and_sizes: list[tuple[float, int]]) -> list[tuple[float, int, float]]:
    """Time of entry, size and arrival of the packets that arrive."""
    pipe, now, made = Pipe(direction, random.Random(1)), 0.0, []
    for gap, size in gaps_and_sizes:
        now += gap
        fate = pipe.admit(now, size)
        if isinstance(fate, float):
            made.append((now, size, fate))
    return made


@given(GAPS_AND_SIZES, st.floats(10, 10_000), st.floats(0, 100), st.floats(0, 1))
def test_packets_keep_their_order_and_are_never_early(
    packets: list[tuple[float, int]], rate_kbit_s: float, delay_ms: float, jitter_share: float
) -> None:
    jitter_ms = delay_ms * jitter_share
    made = admitted(Direction(rate_kbit_s, delay_ms, jitter_ms), packets)
    assert len(made) == len(packets)
    arrivals = [arrival for _, _, arrival in made]
    assert arrivals == sorted(arrivals)
    for entered, size, arrival in made:
        assert arrival >= entered + size * 8 / (rate_kbit_s * 1000) + (delay_ms - jitter_ms) / 1000 - 1e-9


@given(GAPS_AND_SIZES, st.floats(10, 10_000))
def test_no_more_bytes_arrive_in_a_span_than_the_rate_allows(
    packets: list[tuple[float, int]], rate_kbit_s: float
) -> None:
    made = admitted(Direction(rate_kbit_s, delay_ms=10), packets)
    first_entered = made[0][0]
    total = sum(size for _, size, _ in made)
    assert (made[-1][2] - first_entered - 0.01) * rate_kbit_s * 125 >= total - 1e-3


def test_an_idle_link_passes_a_packet_after_its_own_time_and_the_delay() -> None:
    pipe = Pipe(Direction(rate_kbit_s=800, delay_ms=50), random.Random(1))
    assert pipe.admit(10.0, 1000) == pytest.approx(10.06)
    assert pipe.admit(20.0, 1000) == pytest.approx(20.06)


def test_a_full_queue_drops_and_empties_again() -> None:
    pipe = Pipe(Direction(rate_kbit_s=8, queue_packets=2), random.Random(1))
    fates = [pipe.admit(0.0, 1000) for _ in range(5)]
    assert fates == [1.0, 2.0, 3.0, "queue full", "queue full"]  # one in transmission, two waiting
    assert pipe.admit(1.5, 1000) == 4.0


def test_the_stated_share_is_lost_and_uses_the_link_all_the_same() -> None:
    pipe = Pipe(Direction(rate_kbit_s=8_000, loss=0.25, queue_packets=10_000), random.Random(1))
    fates = [pipe.admit(0.0, 1000) for _ in range(4000)]
    assert fates.count("lost") == pytest.approx(1000, rel=0.1)
    last = max(fate for fate in fates if isinstance(fate, float))
    assert last == pytest.approx(4.0, rel=0.01)


def test_the_same_seed_loses_the_same_packets() -> None:
    def lost() -> list[int]:
        pipe = Pipe(Direction(loss=0.5), random.Random("3 up"))
        return [number for number in range(50) if pipe.admit(float(number), 100) == "lost"]

    assert lost() == lost()


def test_without_a_rate_only_the_delay_remains() -> None:
    pipe = Pipe(Direction(delay_ms=5), random.Random(1))
    assert pipe.admit(1.0, 1500) == pytest.approx(1.005)
