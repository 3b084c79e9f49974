"""What the edge is handed: the folder over and over, own pictures first, in the form that it reads."""

import os
import threading
import time
from pathlib import Path

import pytest

from siftfunnel.demo import pictures
from siftfunnel.demo.pictures import Feeder, Pictures
from siftfunnel.edge_client.sources.pushed import PushedPictures

FOLDER = {Path("/p/a.png"): "a", Path("/p/b.png"): None, Path("/p/c.png"): "c"}


def names(source: Pictures, count: int) -> list[str | None]:
    taken = [source.next(0.01) for _ in range(count)]
    return [picture.name if picture else None for picture in taken]


def test_the_folder_plays_over_and_over_in_an_order_of_its_seed() -> None:
    first = names(Pictures(FOLDER, seed=1), 6)
    assert sorted(map(str, first[:3])) == sorted(map(str, FOLDER))
    assert first[:3] == first[3:]
    assert names(Pictures(FOLDER, seed=1), 6) == first
    assert any(names(Pictures(FOLDER, seed=seed), 3) != first[:3] for seed in range(2, 9))


def test_own_pictures_come_first_and_only_the_newest_of_those_that_wait() -> None:
    source = Pictures(FOLDER, seed=1, shipped=True)
    assert source.source == "demo"
    source.push(b"old")
    source.push(b"new")
    assert source.source == "own"
    taken = source.next()
    assert taken is not None
    assert (taken.encoded, taken.label) == (b"new", None)
    assert names(source, 2) == [None, None]  # the folder waits while own ones may come


def test_the_folder_goes_on_when_no_own_picture_has_come_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pictures, "OWN_HOLD_S", 0.05)
    source = Pictures(FOLDER, seed=1)
    source.push(b"own")
    source.next()
    time.sleep(0.06)
    assert source.source == "folder"
    assert None not in names(source, 2)


def test_a_wish_holds_own_pictures_and_another_one_ends_them_at_once() -> None:
    source = Pictures(FOLDER, seed=1)
    source.use_own(True)
    assert (source.source, names(source, 1)) == ("own", [None])
    source.push(b"one that waits")
    source.use_own(False)
    assert source.source == "folder"
    assert "own" not in str(names(source, 3))


def test_what_is_fed_is_what_the_edge_reads() -> None:
    odd = Path(os.fsdecode(b"/p/\xff\xfe.png"))
    source = Pictures({odd: "a"}, seed=0)
    reader, writer = os.pipe()
    feeder = Feeder(source, os.fdopen(writer, "wb"), rate_fps=None, wanted=2)
    read = PushedPictures(reader).pictures(threading.Event())
    seen = [next(read), next(read)]
    assert [(picture.image, picture.label) for picture in seen] == [(odd, "a")] * 2
    source.push(b"\x89PNG own")
    feeder.wanted = 3
    own = next(read)
    assert (own.image, own.label) == (b"\x89PNG own", None)
    feeder.join()
    assert list(read) == []
    assert feeder.fed == 3
    os.close(reader)


def test_a_feeder_whose_edge_is_gone_ends() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    feeder = Feeder(Pictures(FOLDER, seed=0), os.fdopen(writer, "wb"), rate_fps=None, wanted=None)
    feeder._thread.join(20)
    assert not feeder._thread.is_alive()
