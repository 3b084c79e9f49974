import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from attacker.web.hub import Hub, Subscriber, encode_event


def view(number: int, pictures: bool = True) -> dict[str, Any]:
    return {
        "id": number,
        "digest": "d",
        "codec": "q6",
        "similarity": None,
        "pictures": {"a": 1} if pictures else None,
    }


def parse(event: bytes) -> tuple[str, Any]:
    name, data = event.decode().strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def greet(history: dict[str, Any]) -> list[bytes]:
    """A hello that says nothing."""
    return [encode_event("hello", {})]


def tell(history: dict[str, Any]) -> list[bytes]:
    """A hello with the history."""
    return [encode_event("hello", history)]


async def take(events: AsyncIterator[bytes], count: int) -> list[tuple[str, Any]]:
    return [parse(await asyncio.wait_for(anext(events), 5)) for _ in range(count)]


def test_an_event_is_one_line_of_ascii_whatever_it_says() -> None:
    assert encode_event("frame", {"id": 7}) == b'event: frame\ndata: {"id":7}\n\n'
    spiteful = encode_event("problem", {"text": "two\nlines \u2028 and\r\nevent: hello"})
    assert spiteful.count(b"\n") == 3
    assert parse(spiteful) == ("problem", {"text": "two\nlines \u2028 and\r\nevent: hello"})


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_event("frame", {"psnr": float("nan")})


async def test_every_page_gets_every_event_from_any_thread() -> None:
    hub = Hub()
    hub.open()
    pages = [hub.listen(greet) for _ in range(2)]
    for page in pages:
        assert await take(page, 1) == [("hello", {})]
    thread = threading.Thread(target=lambda: [hub.publish("frame", view(n)) for n in range(3)])
    thread.start()
    for page in pages:
        assert [value["id"] for _, value in await take(page, 3)] == [0, 1, 2]
    thread.join()
    assert hub.subscribers == 2
    for page in pages:
        await page.aclose()  # type: ignore[attr-defined]
    assert hub.subscribers == 0


async def test_a_slow_page_loses_the_oldest_events_and_they_are_counted() -> None:
    hub = Hub()
    hub.open()
    slow = hub.listen(greet)
    await take(slow, 1)
    for number in range(100):
        hub.publish("frame", view(number))
    await asyncio.sleep(0)
    assert hub.dropped == 36
    assert [value["id"] for _, value in await take(slow, 2)] == [36, 37]
    await slow.aclose()  # type: ignore[attr-defined]
    assert hub.dropped == 36


async def test_a_silent_channel_is_kept_open_with_a_comment() -> None:
    assert await Subscriber().next(timeout_s=0.01) == b": still here\n\n"


async def test_closing_ends_every_subscription() -> None:
    hub = Hub()
    hub.open()
    page = hub.listen(greet)
    await take(page, 1)
    hub.close()
    assert [event async for event in page] == []
    hub.publish("frame", view(0))


async def test_a_late_page_learns_the_latest_pictures_and_points() -> None:
    hub = Hub()
    for number in range(500):
        hub.publish("frame", view(number, pictures=number % 2 == 0))
    page = hub.listen(tell)
    ((_, history),) = await take(page, 1)
    await page.aclose()  # type: ignore[attr-defined]
    assert [each["id"] for each in history["pictures"]] == list(range(476, 500, 2))
    assert len(history["points"]) == 400
    assert history["points"][-1] == {"id": 499, "digest": "d", "codec": "q6", "similarity": None}


async def test_no_frame_falls_between_the_history_and_the_events_and_none_is_told_twice() -> None:
    hub = Hub()
    hub.open()
    page = hub.listen(tell)
    other = hub.listen(tell)
    await take(other, 1)
    hub.publish("frame", view(1))  # asked for, but not listening yet; its delivery to the other is under way
    ((_, history),) = await take(page, 1)
    hub.publish("frame", view(2))
    assert [each["id"] for each in history["pictures"]] == [1]
    assert [value["id"] for _, value in await take(page, 1)] == [2]
    assert [value["id"] for _, value in await take(other, 2)] == [1, 2]
    for each in (page, other):
        await each.aclose()  # type: ignore[attr-defined]


def test_publishing_without_a_server_is_no_accident() -> None:
    Hub().publish("state", {})
