"""One source for several streams: the same pictures, the same numbers, nothing that hangs."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from siftfunnel.edge_client.errors import SourceError
from siftfunnel.edge_client.picture import Picture
from siftfunnel.edge_client.sources.fan_out import FanOut
from siftfunnel.edge_client.sources.source import IterableSource

WAIT_S = 20


class Stepped:
    """A live source whose pictures come when the test says so."""

    keeps_latest = True

    def __init__(self) -> None:
        self.steps = threading.Semaphore(0)
        self.given = threading.Semaphore(0)

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        for number in range(100):
            self.steps.acquire()
            if stop.is_set():
                return
            yield Picture(str(number), b"")
            # the fan-out has dealt with the picture when it comes back for the next
            self.given.release()

    def give(self, count: int) -> None:
        for _ in range(count):
            self.steps.release()
            assert self.given.acquire(timeout=WAIT_S)


class Reader(threading.Thread):
    """A stream that takes everything its branch gives."""

    def __init__(self, fan_out: FanOut, branch: int, at_most: int = 1000) -> None:
        super().__init__(daemon=True)
        self._pictures: Any = fan_out.branches[branch].pictures(threading.Event())
        self._at_most = at_most
        self.seen: list[tuple[int | None, str]] = []
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            for picture in self._pictures:
                self.seen.append((picture.sequence, picture.name))
                if len(self.seen) >= self._at_most:
                    break
        except Exception as error:
            self.error = error
        self._pictures.close()

    def wait_for(self, count: int) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while len(self.seen) < count:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)

    def finished(self) -> "Reader":
        self.join(WAIT_S)
        assert not self.is_alive()
        return self


def files(count: int) -> IterableSource:
    return IterableSource([Picture(str(number), b"") for number in range(count)])


def nothing_is_superseded(picture: Picture) -> None:
    raise AssertionError(picture)


def test_every_branch_gets_every_picture_under_the_same_number() -> None:
    fan_out = FanOut(files(50), 3, 7, nothing_is_superseded)
    readers = [Reader(fan_out, branch) for branch in range(3)]
    wanted = [(7 + number, str(number)) for number in range(50)]
    assert [reader.finished().seen for reader in readers] == [wanted] * 3


def test_a_branch_that_leaves_does_not_hold_up_the_others() -> None:
    fan_out = FanOut(files(50), 2, 0, nothing_is_superseded)
    short, long = Reader(fan_out, 0, at_most=3), Reader(fan_out, 1)
    assert len(short.finished().seen) == 3
    assert len(long.finished().seen) == 50


def test_a_live_picture_is_left_out_for_all_or_for_none() -> None:
    source, left_out = Stepped(), []
    fan_out = FanOut(source, 2, 0, lambda picture: left_out.append(picture.name))
    first = Reader(fan_out, 0)
    source.give(3)  # the second branch has not asked yet, so nobody gets one
    assert (first.seen, left_out) == ([], ["0", "1"])
    second = Reader(fan_out, 1, at_most=1)
    second.finished()
    source.give(1)
    first.wait_for(2)
    fan_out.stop()
    source.steps.release()
    assert first.finished().seen == [(2, "2"), (3, "3")]
    assert second.seen == [(2, "2")]


def test_a_stop_ends_every_branch_and_counts_the_live_picture_that_waited() -> None:
    source, left_out = Stepped(), []
    fan_out = FanOut(source, 2, 0, lambda picture: left_out.append(picture.name))
    first = Reader(fan_out, 0)
    source.give(1)
    fan_out.stop()
    assert first.finished().seen == []
    assert left_out == ["0"]
    assert Reader(fan_out, 1).finished().seen == []


def test_a_source_that_fails_fails_every_stream_after_its_pictures() -> None:
    class Broken:
        keeps_latest = False

        def pictures(self, stop: threading.Event) -> Iterator[Picture]:
            yield Picture("0", b"")
            raise SourceError("unplugged")

    fan_out = FanOut(Broken(), 2, 0, nothing_is_superseded)
    readers = [Reader(fan_out, branch) for branch in range(2)]
    for reader in readers:
        assert reader.finished().seen == [(0, "0")]
        assert isinstance(reader.error, SourceError)


@pytest.mark.parametrize("branches", [2, 3])
def test_streams_that_are_all_gone_stop_the_reading(branches: int) -> None:
    endless = iter(lambda: Picture("again", b""), None)
    fan_out = FanOut(IterableSource(endless), branches, 0, nothing_is_superseded)
    for reader in [Reader(fan_out, branch, at_most=2) for branch in range(branches)]:
        reader.finished()
    fan_out._reader.join(WAIT_S)
    assert not fan_out._reader.is_alive()
