"""Live sources: what nobody had room for is overtaken, numbered and counted."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from siftfunnel.edge_client import Answer, FrameFailure, SplitClient
from siftfunnel.edge_client.client import LIVE_WINDOW
from siftfunnel.edge_client.errors import SourceError
from siftfunnel.edge_client.outcome import Outcome, Superseded
from siftfunnel.edge_client.picture import Picture
from siftfunnel.edge_client.producer import LatestSlot
from siftfunnel.edge_client.sources.source import IterableSource, Limited, Paced
from siftfunnel.shared.bundle import Bundle
from tests.edge_client.conftest import pixels

RUNNING = threading.Event()


class Live:
    """A camera that gives a picture at each step of a script, as fast as it is read."""

    keeps_latest = True

    def __init__(self, count: int, pause_s: float = 0.0, fails_at: int | None = None) -> None:
        self._count = count
        self._pause_s = pause_s
        self._fails_at = fails_at

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        for number in range(self._count):
            if number == self._fails_at:
                raise SourceError("the camera was unplugged")
            if stop.wait(self._pause_s):
                return
            yield Picture(f"live#{number}", pixels(number % 3))


def counts(outcomes: list[Outcome]) -> dict[str, int]:
    kinds = (Answer, FrameFailure, Superseded)
    return {kind.__name__: sum(isinstance(each, kind) for each in outcomes) for kind in kinds}


def test_a_slot_holds_the_newest_and_gives_back_the_older() -> None:
    slot = LatestSlot()
    first, second = (Picture(f"{number}", b"", sequence=number) for number in (1, 2))
    assert slot.put(first) is None
    assert slot.put(second) == first
    assert slot.take() == second
    slot.close()
    assert slot.take() is None
    assert slot.put(first) == first


def test_a_camera_faster_than_the_device_is_accounted_for_frame_by_frame(bundle: Bundle, server: str) -> None:
    with SplitClient(bundle, server) as client, client.open_stream(Live(2000)) as stream:
        outcomes = list(stream)
        handed_in = stream.handed_in
    found = counts(outcomes)
    assert handed_in == 2000
    assert sum(found.values()) == 2000
    assert sorted(outcome.sequence or 0 for outcome in outcomes) == list(range(2000))
    assert found["Superseded"] > 0
    assert found["Answer"] > 0
    assert found["FrameFailure"] == 0


def test_a_camera_slower_than_the_device_loses_nothing(bundle: Bundle, server: str) -> None:
    with SplitClient(bundle, server) as client:
        outcomes = list(client.stream(Live(5, pause_s=0.1)))
    assert counts(outcomes) == {"Answer": 5, "FrameFailure": 0, "Superseded": 0}


def test_a_live_source_keeps_few_frames_under_way(
    bundle: Bundle, free_port: Callable[[], int], serve: Callable[..., AbstractContextManager[str]]
) -> None:
    port = free_port()
    encoded = []
    with SplitClient(bundle, f"127.0.0.1:{port}") as client:
        stream = client.open_stream(Live(200), on_handed_in=lambda sequence, frame: encoded.append(sequence))
        outcomes = iter(stream)
        first = next(outcomes)
        assert isinstance(first, Superseded)
        assert len(encoded) <= LIVE_WINDOW
        with serve(bundle, port=port):
            collected = [first, *outcomes]
    assert sum(counts(collected).values()) == 200
    assert counts(collected)["Answer"] == len(encoded)


def test_a_camera_that_fails_raises_after_all_is_accounted_for(bundle: Bundle, server: str) -> None:
    collected: list[Outcome] = []
    with SplitClient(bundle, server) as client, pytest.raises(SourceError, match="unplugged"):
        collected.extend(client.stream(Live(50, fails_at=30)))
    assert sum(counts(collected).values()) == 30


def test_a_stop_leaves_no_frame_without_an_outcome(bundle: Bundle, server: str) -> None:
    with SplitClient(bundle, server) as client, client.open_stream(Live(10**9)) as stream:
        collected = []
        for outcome in stream:
            collected.append(outcome)
            if len(collected) == 50:
                stream.stop()
        assert sum(counts(collected).values()) == stream.handed_in


def test_a_stop_of_a_blocking_source_answers_what_is_under_way(bundle: Bundle, server: str) -> None:
    endless = IterableSource(pixels(0) for _ in iter(int, 1))
    with SplitClient(bundle, server) as client, client.open_stream(endless) as stream:
        collected = []
        for outcome in stream:
            collected.append(outcome)
            if len(collected) == 20:
                stream.stop()
        assert counts(collected) == {"Answer": stream.handed_in, "FrameFailure": 0, "Superseded": 0}


def test_a_pace_leaves_out_pictures_of_a_live_source_without_counting_them() -> None:
    paced = Paced(Live(10**6), rate_fps=50.0)
    begun_s = time.monotonic()
    taken = list(Limited(paced, 3).pictures(RUNNING))
    assert [picture.name == "live#0" for picture in taken] == [True, False, False]
    assert time.monotonic() - begun_s >= 2 / 50


def test_a_pace_makes_files_wait() -> None:
    begun_s = time.monotonic()
    paced = Paced(IterableSource([b"a", b"b", b"c"]), rate_fps=100.0)
    assert len(list(paced.pictures(RUNNING))) == 3
    assert time.monotonic() - begun_s >= 2 / 100


def test_a_stop_ends_a_pause() -> None:
    stop = threading.Event()
    pictures = Paced(IterableSource([b"a", b"b"]), rate_fps=0.001).pictures(stop)
    next(pictures)
    stop.set()
    assert list(pictures) == []
