import asyncio
import json
import threading
from typing import Any

import pytest

from siftfunnel.attacker.web.hub import Hub, encode


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def view(sequence: int, digest: str = "d", pictures: bool = True) -> dict[str, Any]:
    return {
        "id": sequence,
        "tap": "relay",
        "bundle": "faces",
        "digest": digest,
        "defended": digest == "shut",
        "sequence": sequence,
        "codec": "q6",
        "similarity": None,
        "label": "ada",
        "jpeg_bytes": 900,
        "original_size": [32, 32],
        "pictures": {"original": f"picture {sequence}", "feature": "f", "reconstruction": "r"}
        if pictures
        else None,
    }


async def news(hub: Hub, after: int = 0, session: str | None = None) -> dict[str, Any]:
    told = await hub.news(session or hub.session, after, timeout_s=5)
    return dict(json.loads(told.as_json()))


def test_a_value_is_one_line_of_ascii_whatever_it_says() -> None:
    spiteful = encode({"text": "two\nlines \u2028 and\r\nevent: hello"})
    assert b"\n" not in spiteful
    assert json.loads(spiteful) == {"text": "two\nlines \u2028 and\r\nevent: hello"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"psnr": float("nan")})


async def test_a_page_that_asks_gets_the_newest_of_everything_and_each_only_once() -> None:
    hub = Hub()
    hub.open()
    for number in range(100):
        hub.publish("books", {"number": number})
    hub.publish("camera", {"label": "ada"})
    first = await news(hub)
    assert (first["books"], first["camera"]) == ({"number": 99}, {"label": "ada"})
    hub.publish("books", {"number": 100})
    second = await news(hub, first["number"])
    assert second["books"] == {"number": 100}
    assert "camera" not in second


async def test_a_slow_page_lags_behind_by_nothing_and_holds_no_memory() -> None:
    hub = Hub()
    hub.open()
    started = await hub.news(hub.session, 0, 0)
    for number in range(600):
        hub.publish("frame", view(number))
    told = await hub.news(hub.session, started.number, 0.05)
    assert json.loads(told.items["points"])[-1]["id"] == 599
    assert len(told.as_json()) < 100_000


async def test_waiting_pages_are_woken_from_any_thread() -> None:
    hub = Hub()
    hub.open()
    pages = [asyncio.create_task(news(hub)) for _ in range(3)]
    while len(hub._waiting) < 3:
        await asyncio.sleep(0.01)
    thread = threading.Thread(target=hub.publish, args=("books", {"number": 1}))
    thread.start()
    assert [told["books"] for told in await asyncio.gather(*pages)] == [{"number": 1}] * 3
    thread.join()
    assert not hub._waiting


async def test_without_news_the_answer_is_empty_after_a_while() -> None:
    hub = Hub()
    hub.open()
    told = await hub.news(hub.session, 0, 0.01)
    assert json.loads(told.as_json()) == {"session": hub.session, "number": 0}
    assert told.as_events() == b": still here\n\n"


async def test_numbers_of_a_process_before_this_one_mean_nothing() -> None:
    hub = Hub()
    hub.open()
    hub.publish("hello", {"bundles": []})
    assert (await news(hub, after=10**9, session="the one before"))["hello"] == {"bundles": []}


async def test_closing_answers_every_page() -> None:
    hub = Hub()
    hub.open()
    page = asyncio.create_task(news(hub))
    while not hub._waiting:
        await asyncio.sleep(0.01)
    hub.close()
    assert (await page)["number"] == 0


async def test_every_frame_is_a_point_and_the_latest_pair_is_told() -> None:
    hub = Hub()
    hub.publish("frame", view(1, "open"))
    hub.publish("frame", view(1, "shut"))
    hub.publish("frame", view(2, "open", pictures=False))
    told = await news(hub)
    assert [(point["sequence"], point["digest"]) for point in told["points"]] == [
        (1, "open"),
        (1, "shut"),
        (2, "open"),
    ]
    assert told["pair"]["original"] == "picture 1"
    assert [side["digest"] for side in told["pair"]["sides"]] == ["open", "shut"]


async def test_one_pair_a_second_is_kept_for_those_who_come_late() -> None:
    clock = Clock()
    hub = Hub(clock)
    for sequence in range(40):
        clock.now_s = sequence / 4
        hub.publish("frame", view(sequence, "open"))
        hub.publish("frame", view(sequence, "shut"))
    kept = [pair.sequence for pair in hub.pairs()]
    assert kept == list(range(0, 40, 4))
    assert (await news(hub))["kept"] == [pair.number for pair in hub.pairs()]


async def test_of_a_few_pictures_that_come_in_turn_different_ones_are_kept() -> None:
    clock = Clock()
    hub = Hub(clock)
    for sequence in range(200):
        clock.now_s = sequence / 6
        for digest in ("open", "shut"):
            seen = view(sequence, digest)
            seen["pictures"]["original"] = f"picture {sequence % 4}"
            hub.publish("frame", seen)
    kept = [pair.original for pair in hub.pairs()]
    assert all(len(set(kept[start : start + 4])) == 4 for start in range(len(kept) - 3))


async def test_one_picture_alone_is_kept_again_and_again() -> None:
    clock = Clock()
    hub = Hub(clock)
    for sequence in range(40):
        clock.now_s = sequence / 2
        for digest in ("open", "shut"):
            seen = view(sequence, digest)
            seen["pictures"]["original"] = "one's own face"
            hub.publish("frame", seen)
    assert 2 <= len(hub.pairs()) <= 20 / 3 + 1


async def test_kept_pairs_are_bounded_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siftfunnel.attacker.web.hub.KEPT_BYTES", 3000)
    clock = Clock()
    hub = Hub(clock)
    for sequence in range(20):
        clock.now_s = float(sequence)
        hub.publish("frame", view(sequence, "open"))
        hub.publish("frame", view(sequence, "shut"))
    assert 1 <= len(hub.pairs()) < 6
    assert hub.pairs()[-1].sequence == 19


async def test_a_frame_that_stays_alone_is_shown_alone_after_a_moment() -> None:
    clock = Clock()
    hub = Hub(clock)
    hub.publish("frame", view(1))
    hub.tick()
    assert "pair" not in await news(hub, -1)
    clock.now_s = 2.1
    hub.tick()
    assert [side["digest"] for side in (await news(hub, -1))["pair"]["sides"]] == ["d"]


async def test_problems_are_told_once_and_the_latest_are_kept() -> None:
    hub = Hub()
    for number in (*range(30), 29, 29):
        hub.publish("problem", {"text": f"problem {number}"})
    assert (await news(hub))["problems"] == [f"problem {number}" for number in range(10, 30)]


def test_publishing_without_a_server_is_no_accident() -> None:
    Hub().publish("books", {})
