"""Spool items between two processes."""

import io

from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.feeds.spool import Chunk, Closed, Finished, Opened, SpoolItem
from siftfunnel.attacker.feeds.spool_wire import pack_item, read_item

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
    stream = io.BytesIO(b"".join(part for item in [*items, Finished()] for part in pack_item(item)))
    arrived = []
    while not isinstance(item := read_item(stream), Finished):
        arrived.append(item)
    assert arrived == items
    assert stream.read() == b""


@given(ITEM, st.integers(1, 20))
def test_a_process_that_dies_in_the_middle_of_an_item_has_finished(item: SpoolItem, cut: int) -> None:
    packed = b"".join(pack_item(item))
    assert read_item(io.BytesIO(packed[: max(0, len(packed) - cut)])) == Finished()
