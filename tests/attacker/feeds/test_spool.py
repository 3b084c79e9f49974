"""What waits between the process that copies and the tap."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.feeds.spool import Chunk, Closed, Finished, Opened, Spool, SpoolItem, read_item


def chunk(kilobytes: int, direction: str = "up", number: int = 1) -> Chunk:
    return Chunk(number, 0.0, direction, bytes(1000 * kilobytes))


def drain(spool: Spool) -> list[SpoolItem]:
    """Everything that waits, sent and read."""
    stream, items = io.BytesIO(bytes(spool.waiting)), []
    while stream.tell() < len(spool.waiting):
        items.append(read_item(stream))
    spool.waiting.clear()
    return items


def send(spool: Spool, kilobytes: int) -> None:
    """Let some of it go; where items end does not matter."""
    del spool.waiting[: 1000 * kilobytes]


def test_items_come_out_in_order() -> None:
    spool = Spool(100_000)
    put = [Opened(1, 0.0, "a", "b"), chunk(10), chunk(5, "down"), Closed(1, 0.0, "closed"), Finished()]
    for item in put:
        spool.put(item)
    assert drain(spool) == put


def test_what_does_not_fit_becomes_one_hole_told_before_the_next_bytes() -> None:
    spool = Spool(100_000)
    for size in (90, 20, 30):
        spool.put(chunk(size))
    assert [len(item.data) for item in drain(spool)] == [90_000]
    spool.put(chunk(7))
    [after] = drain(spool)
    assert (len(after.data), after.missed_bytes) == (7000, 50_000)
    assert spool.missed_bytes == 50_000


def test_a_full_spool_takes_nothing_until_half_of_it_is_read() -> None:
    spool = Spool(100_000)
    for size in (30, 30, 30, 20):
        spool.put(chunk(size))
    left = len(spool.waiting)
    send(spool, 30)
    spool.put(chunk(10))
    assert len(spool.waiting) == left - 30_000
    send(spool, 30)
    spool.put(chunk(9))
    behind = io.BytesIO(bytes(spool.waiting[left - 60_000 :]))
    assert read_item(behind) == replace(chunk(9), missed_bytes=30_000)


def test_holes_are_kept_per_connection_and_direction() -> None:
    spool = Spool(100_000)
    spool.put(chunk(99))
    spool.put(chunk(1, "up", 1))
    spool.put(chunk(2, "down", 1))
    spool.put(chunk(4, "up", 2))
    drain(spool)
    spool.put(chunk(5, "up", 2))
    spool.put(Closed(1, 0.0, "closed"))
    after, closed = drain(spool)
    assert after.missed_bytes == 4000
    assert closed.missed == (("up", 1000), ("down", 2000))


def test_a_chunk_larger_than_the_spool_is_a_hole() -> None:
    spool = Spool(10_000)
    spool.put(chunk(11))
    spool.put(Finished())
    assert drain(spool) == [Finished()]
    assert spool.missed_bytes == 11_000


def test_many_small_items_are_bounded_with_all_that_they_take() -> None:
    spool = Spool(100_000)
    spool.put(Opened(1, 0.0, "a", "b"))
    for _ in range(10_000):
        spool.put(Chunk(1, 0.0, "up", b"x"))
    for number in range(2, 1000):
        spool.put(Opened(number, 0.0, "a", "b"))
        spool.put(Closed(number, 0.0, "closed"))
    assert len(spool.waiting) <= 100_000
    assert spool.missed_bytes == 10_000 - (len(drain(spool)) - 1)


def test_connections_that_begin_while_it_is_full_are_not_followed_but_counted() -> None:
    spool = Spool(100_000)
    spool.put(chunk(99))
    spool.put(chunk(1))
    for number in (2, 3):
        spool.put(Opened(number, 0.0, "a", "b"))
        spool.put(chunk(10, "up", number))
    spool.put(Closed(2, 0.0, "closed"))
    assert len(drain(spool)) == 1
    spool.put(chunk(10, "up", 3))
    spool.put(Opened(4, 0.0, "a", "b"))
    spool.put(Opened(5, 0.0, "a", "b"))
    spool.put(Finished())
    assert drain(spool) == [Opened(4, 0.0, "a", "b", 2), Opened(5, 0.0, "a", "b"), Finished()]
    assert spool.missed_bytes == 31_000
    assert spool.missed_connections == 2


def test_a_spool_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="limit_bytes must be positive"):
        Spool(0)


NUMBER = st.integers(0, (1 << 32) - 1)
TIME = st.floats(allow_nan=False)
DIRECTION = st.sampled_from(["up", "down"])
ITEM = st.one_of(
    st.builds(Opened, NUMBER, TIME, st.text(), st.text(), NUMBER),
    st.builds(Chunk, NUMBER, TIME, DIRECTION, st.binary(max_size=200), st.integers(0, 1 << 60)),
    st.builds(
        Closed,
        NUMBER,
        TIME,
        st.text(),
        st.lists(st.tuples(DIRECTION, st.integers(1, 1 << 60)), max_size=2).map(tuple),
    ),
)


@given(st.lists(ITEM, max_size=5))
def test_items_arrive_as_they_were_put(items: list[SpoolItem]) -> None:
    stream = io.BytesIO(b"".join(part for item in [*items, Finished()] for part in item.packed()))
    arrived = []
    while not isinstance(item := read_item(stream), Finished):
        arrived.append(item)
    assert arrived == items
    assert stream.read() == b""


@given(ITEM, st.integers(1, 20))
def test_a_process_that_dies_in_the_middle_of_an_item_has_finished(item: SpoolItem, cut: int) -> None:
    packed = b"".join(item.packed())
    assert read_item(io.BytesIO(packed[: max(0, len(packed) - cut)])) == Finished()
