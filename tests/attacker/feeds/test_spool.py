"""The queue between the copying thread and the tap."""

import pytest

from siftfunnel.attacker.feeds.spool import ITEM_BYTES, Chunk, Closed, Finished, Opened, Spool


def chunk(kilobytes: int, direction: str = "up", number: int = 1) -> Chunk:
    return Chunk(number, 0.0, direction, bytes(1000 * kilobytes))  # type: ignore[arg-type]


def drain(spool: Spool) -> list[object]:
    items = []
    while (item := spool.take(0.0)) is not None:
        items.append(item)
    return items


def test_items_come_out_in_order() -> None:
    spool = Spool(100_000)
    put = [Opened(1, 0.0, "a", "b"), chunk(10), chunk(5, "down"), Closed(1, 0.0, "closed"), Finished()]
    for item in put:
        spool.put(item)
    assert spool.waiting_bytes == 15_000 + 4 * ITEM_BYTES
    assert drain(spool) == put
    assert spool.waiting_bytes == 0


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
    spool.take(0.0)
    spool.put(chunk(10))
    spool.take(0.0)
    spool.put(chunk(9))
    sizes = [(len(item.data), item.missed_bytes) for item in drain(spool)]
    assert sizes == [(30_000, 0), (9000, 30_000)]


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


def test_many_small_items_are_bounded_by_the_memory_that_they_take() -> None:
    spool = Spool(100_000)
    spool.put(Opened(1, 0.0, "a", "b"))
    for _ in range(10_000):
        spool.put(Chunk(1, 0.0, "up", b"x"))
    for number in range(2, 1000):
        spool.put(Opened(number, 0.0, "a", "b"))
        spool.put(Closed(number, 0.0, "closed"))
    assert spool.waiting_bytes <= 100_000
    kept = drain(spool)
    assert len(kept) < 100_000 / ITEM_BYTES
    assert spool.missed_bytes == 10_000 - (len(kept) - 1)


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
