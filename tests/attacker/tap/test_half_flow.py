"""One direction of TCP put back in order."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.tap.half_flow import CUT_OFF, HalfFlow, Missed, ReassemblyLimits
from siftfunnel.attacker.tap.packets import Address, Segment

HERE, THERE = Address(b"\x7f\0\0\1", 1000), Address(b"\x7f\0\0\1", 2000)
FIN, ACK = 0x01, 0x10


def segment(
    sequence: int, payload: bytes = b"", flags: int = ACK, payload_bytes: int | None = None
) -> Segment:
    length = len(payload) if payload_bytes is None else payload_bytes
    return Segment(HERE, THERE, sequence % (1 << 32), 0, flags, payload, length)


def half(first: int | None = 100, **limits: float) -> HalfFlow:
    flow = HalfFlow(ReassemblyLimits(**limits))
    if first is not None:
        flow.begin(first)
    return flow


def test_bytes_in_order_come_out_at_once() -> None:
    flow = half()
    assert flow.receive(segment(100, b"abc"), 0.0) == [b"abc"]
    assert flow.receive(segment(103, b"de"), 0.0) == [b"de"]


def test_reordered_segments_wait_for_the_one_before() -> None:
    flow = half()
    assert flow.receive(segment(103, b"de"), 0.0) == []
    assert flow.receive(segment(105, b"f"), 0.1) == []
    assert flow.receive(segment(100, b"abc"), 0.2) == [b"abc", b"de", b"f"]
    assert flow.pending_bytes == 0


def test_retransmissions_and_overlaps_come_out_once() -> None:
    flow = half()
    assert flow.receive(segment(100, b"abc"), 0.0) == [b"abc"]
    assert flow.receive(segment(100, b"abc"), 0.0) == []
    assert flow.receive(segment(101, b"bcde"), 0.0) == [b"de"]
    assert flow.receive(segment(104, b"X"), 0.0) == []


def test_what_came_first_stands() -> None:
    flow = half()
    flow.receive(segment(103, b"de"), 0.0)
    flow.receive(segment(103, b"XY"), 0.0)
    assert flow.receive(segment(100, b"abc"), 0.0) == [b"abc", b"de"]


def test_a_keepalive_probe_is_nothing_new() -> None:
    flow = half()
    flow.receive(segment(100, b"abc"), 0.0)
    assert flow.receive(segment(102, b"\0"), 0.0) == []


def test_sequence_numbers_wrap_around() -> None:
    flow = half((1 << 32) - 2)
    assert flow.receive(segment((1 << 32) - 2, b"abcd"), 0.0) == [b"abcd"]
    assert flow.receive(segment(4, b"g"), 0.0) == []
    assert flow.receive(segment(2, b"ef"), 0.0) == [b"ef", b"g"]


def test_a_hole_is_given_up_when_the_wait_is_over() -> None:
    flow = half(wait_s=0.5)
    assert flow.receive(segment(110, b"k"), 1.0) == []
    assert flow.expire(1.4) == []
    assert flow.expire(1.6) == [Missed(10), b"k"]
    assert flow.receive(segment(100, b"too late"), 1.7) == []


def test_the_wait_begins_anew_with_each_hole() -> None:
    flow = half(wait_s=0.5)
    flow.receive(segment(101, b"b"), 0.0)
    flow.receive(segment(103, b"d"), 0.4)
    assert flow.receive(segment(100, b"a"), 0.45) == [b"a", b"b"]
    assert flow.expire(0.9) == []
    assert flow.expire(1.0) == [Missed(1), b"d"]


def test_a_hole_that_the_receiver_has_acknowledged_is_given_up_at_once() -> None:
    flow = half(wait_s=9.0, acknowledged_wait_s=0.02)
    flow.receive(segment(110, b"k"), 1.0)
    assert flow.acknowledge(100, 1.5) == []
    assert flow.acknowledge(111, 1.6) == [Missed(10), b"k"]
    assert flow.receive(segment(121, b"v"), 1.6) == []
    assert flow.acknowledge(122, 1.61) == []
    assert flow.expire(1.63) == [Missed(10), b"v"]


def test_a_full_buffer_ends_the_wait() -> None:
    flow = half(pending_bytes=3)
    assert flow.receive(segment(110, b"ab"), 0.0) == []
    assert flow.receive(segment(112, b"cd"), 0.0) == [Missed(10), b"ab", b"cd"]


def test_too_many_waiting_segments_end_the_wait() -> None:
    flow = half(pending_segments=2)
    flow.receive(segment(110, b"a"), 0.0)
    flow.receive(segment(112, b"b"), 0.0)
    assert flow.receive(segment(114, b"c"), 0.0) == [Missed(10), b"a"]


def test_a_connection_met_midway_begins_where_it_is_met() -> None:
    flow = half(first=None)
    assert flow.receive(segment(5000), 0.0) == []
    assert flow.receive(segment(5000, b"abc"), 0.0) == [b"abc"]
    assert flow.receive(segment(4990, b"older bytes"), 0.0) == []


def test_segments_far_out_of_the_window_are_foreign() -> None:
    flow = half(window_bytes=1000)
    assert flow.receive(segment(5000, b"far"), 0.0) == []
    assert flow.pending_bytes == 0


def test_a_capture_that_cuts_packets_leaves_holes() -> None:
    flow = half()
    assert flow.receive(segment(100, b"abc", payload_bytes=10), 0.0) == [b"abc", Missed(7, CUT_OFF)]
    assert flow.receive(segment(110, b"d"), 0.0) == [b"d"]


def test_the_end_is_reached_when_everything_before_it_came() -> None:
    flow = half()
    assert flow.receive(segment(103, b"de", FIN | ACK), 0.0) == []
    assert not flow.ended
    flow.receive(segment(100, b"abc"), 0.0)
    assert flow.ended


def test_a_bare_fin_ends_the_direction() -> None:
    flow = half()
    flow.receive(segment(100, flags=FIN | ACK), 0.0)
    assert flow.ended


def test_finishing_gives_out_what_waits() -> None:
    flow = half()
    flow.receive(segment(102, b"c"), 0.0)
    flow.receive(segment(105, b"f"), 0.0)
    assert flow.finish() == [Missed(2), b"c", Missed(2), b"f"]


@given(st.data())
def test_any_order_with_any_duplicates_gives_the_stream(data: st.DataObject) -> None:
    stream = bytes(i % 251 for i in range(data.draw(st.integers(1, 200))))
    first = data.draw(st.sampled_from([0, 100, (1 << 32) - 50]))
    cuts = sorted({0, len(stream), *data.draw(st.lists(st.integers(0, len(stream)), max_size=12))})
    parts = list(itertools.pairwise(cuts))
    repeats = data.draw(
        st.lists(st.tuples(st.integers(0, len(stream)), st.integers(0, len(stream))), max_size=6)
    )
    order = data.draw(st.permutations(parts + [(min(a, b), max(a, b)) for a, b in repeats]))
    flow = half(first)
    out: list[bytes | Missed] = []
    for begin, end in order:
        out += flow.receive(segment(first + begin, stream[begin:end]), 0.0)
    assert all(isinstance(part, bytes) for part in out)
    assert b"".join(part for part in out if isinstance(part, bytes)) == stream
    assert flow.pending_bytes == 0


@given(
    st.lists(
        st.tuples(
            st.integers(0, (1 << 32) - 1),
            st.binary(max_size=50),
            st.sampled_from([ACK, FIN | ACK]),
            st.floats(0, 9),
            st.integers(0, (1 << 32) - 1),
        ),
        max_size=30,
    )
)
def test_any_segments_are_survived_within_the_limits(
    segments: list[tuple[int, bytes, int, float, int]],
) -> None:
    flow = half(None, pending_bytes=100)
    for sequence, payload, flags, time_s, acknowledgement in segments:
        flow.receive(segment(sequence, payload, flags), time_s)
        flow.acknowledge(acknowledgement, time_s)
        assert flow.pending_bytes <= 100
