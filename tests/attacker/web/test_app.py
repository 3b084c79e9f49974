import asyncio
import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image

from siftfunnel.attacker.pictures import address
from siftfunnel.attacker.web.app import PAGE
from siftfunnel.attacker.web.hub import News
from tests.attacker.scene import Scene
from tests.attacker.web.fakedemo import FakeDemo
from tests.attacker.web.serving import BOOKS, face_of, served


async def news(client: httpx.AsyncClient, *wanted: str) -> dict[str, Any]:
    """What a page has learnt once it knows of these."""
    known: dict[str, Any] = {"session": "", "number": 0}
    async with asyncio.timeout(20):
        while not known.keys() >= set(wanted):
            asked = {"session": known["session"], "after": known["number"]}
            known |= (await client.get("/now", params=asked)).json()
    return known


def view(scene: Scene, sequence: int, shut: bool) -> dict[str, Any]:
    bundle = scene.shut if shut else scene.open
    picture = address(Image.new("RGB", (8, 8)))
    feature = {"name": "feature", "shape": [1, 8, 8], "picture": picture}
    return {
        "id": sequence,
        "tap": "relay",
        "bundle": bundle.name,
        "digest": bundle.digest,
        "defended": shut,
        "sequence": sequence,
        "codec": "q6",
        "similarity": None,
        "label": "ada",
        "jpeg_bytes": 900,
        "payload_bytes": 500,
        "original_size": [8, 8],
        "pictures": {"original": picture, "features": [feature], "reconstruction": picture},
    }


async def test_the_page_and_its_parts_are_served_with_their_types(scene: Scene) -> None:
    async with served(face_of(scene)) as client:
        for path, kind in [
            ("/", "text/html"),
            ("/style.css", "text/css"),
            ("/app.js", "javascript"),
            ("/verdict.js", "javascript"),
            ("/mark.svg", "image/svg+xml"),
        ]:
            answer = await client.get(path)
            assert answer.status_code == 200
            assert kind in answer.headers["content-type"]
        assert (await client.get("/../app.py")).status_code == 404


async def test_nothing_on_the_page_comes_from_another_host(scene: Scene) -> None:
    async with served(face_of(scene)) as client:
        parts = sorted(part.name for part in PAGE.iterdir())
        assert {"index.html", "style.css", "app.js", "mark.svg"} <= set(parts)
        for path in parts:
            told = (await client.get(f"/{path}")).text.replace("http://www.w3.org/2000/svg", "")
            assert "http://" not in told
            assert "https://" not in told


async def test_health_and_summary(scene: Scene) -> None:
    async with served(face_of(scene)) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/summary")).json() == {**BOOKS, "page": {"subscribers": 0}}


async def test_a_page_learns_who_is_who_and_then_the_books(scene: Scene) -> None:
    async with served(face_of(scene)) as client:
        told = await news(client, "hello", "books")
    assert [bundle["name"] for bundle in told["hello"]["bundles"]] == [scene.shut.name, scene.open.name]
    assert [bundle["title"] for bundle in told["hello"]["bundles"]] == ["SiftFunnel", "Ordinary network"]
    assert all(codec["says"] for bundle in told["hello"]["bundles"] for codec in bundle["codecs"])
    assert told["hello"]["control"] is False
    assert told["books"]["bundles"]["faces"]["psnr_mean"] == 20.5


async def test_the_event_stream_tells_the_same(scene: Scene) -> None:
    async with served(face_of(scene)) as client, client.stream("GET", "/events") as response:
        found: dict[str, Any] = {}
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                found[name] = json.loads(line.removeprefix("data: "))
            if {"hello", "books"} <= found.keys():
                break
    assert found["hello"]["control"] is False


async def test_a_reader_that_does_not_read_is_told_nothing_more(scene: Scene) -> None:
    face = face_of(scene)
    told = 0
    news = face.hub.news

    async def counted(session: str, after: int, timeout_s: float) -> News:
        nonlocal told
        told += 1
        return await news(session, after, timeout_s)

    face.hub.news = counted  # type: ignore[method-assign]
    async with served(face) as client:
        _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port, limit=1024)
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for number in range(30):
            face.hub.publish("camera", {"number": number, "filling": "x" * 1_000_000})
            await asyncio.sleep(0.05)
        assert 1 <= told <= 5
        assert len((await news(face.hub.session, 0, 0)).items["camera"]) > 1_000_000
        writer.close()


async def test_a_page_that_leaves_is_no_longer_waited_for(scene: Scene) -> None:
    face = face_of(scene)
    async with served(face) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/now", params={"session": face.hub.session, "after": 10**9}, timeout=0.1)
        async with asyncio.timeout(25):
            while face.hub.visitors:
                await asyncio.sleep(0.05)


async def test_more_pages_than_can_be_served_are_told_to_come_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siftfunnel.attacker.web.app.MAX_PAGES", 0)
    async with served(face_of(scene)) as client:
        for path in ("/now", "/events"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
            assert "close one" in answer.json()["error"]


async def test_event_streams_have_a_ceiling_also_when_nobody_reads_them(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siftfunnel.attacker.web.app.MAX_PAGES", 3)
    face = face_of(scene)
    async with served(face) as client:
        writers = []
        for count in range(1, 4):
            _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
            writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            writers.append(writer)
            async with asyncio.timeout(10):
                while face.hub.visitors < count:
                    await asyncio.sleep(0.01)
        assert (await client.get("/events")).status_code == 503
        assert (await client.get("/summary")).json()["page"] == {"subscribers": 3}
        for writer in writers:
            writer.close()
        async with asyncio.timeout(20):
            while face.hub.visitors:
                await asyncio.sleep(0.05)


async def test_a_pair_can_be_looked_at_again_and_taken_away(scene: Scene) -> None:
    face = face_of(scene)
    for shut in (False, True):
        face.hub.publish("frame", view(scene, 7, shut))
    (pair,) = face.hub.pairs()
    async with served(face) as client:
        again = (await client.get(f"/pair/{pair.number}")).json()
        assert [side["bundle"] for side in again["sides"]] == [scene.open.name, scene.shut.name]
        for path, kind in ((f"/pair/{pair.number}.png", "PNG"), ("/history.gif", "GIF")):
            answer = await client.get(path)
            assert Image.open(io.BytesIO(answer.content)).format == kind
            assert answer.headers["content-disposition"].startswith("attachment")
        gone = await client.get("/pair/999.png")
        assert (gone.status_code, "nothing older is kept" in gone.json()["error"]) == (404, True)
        assert (await client.get("/history.gif", params={"until": 0})).status_code == 404


async def test_orders_exist_only_with_a_conductor(scene: Scene) -> None:
    async with served(face_of(scene)) as client:
        assert (await client.get("/state")).status_code == 404
        for path in ("/switch", "/end", "/picture"):
            assert (await client.post(path, json={"codec": "q4"})).status_code in {404, 405}


async def test_orders_and_pictures_reach_the_conductor_as_they_are(scene: Scene, demo: FakeDemo) -> None:
    async with served(face_of(scene, demo.url)) as client:
        assert (await client.get("/state")).json() == {"tls": False}
        assert (await client.post("/switch", json={"tls": True})).json() == {"tls": False}
        assert (await client.post("/end", json={"party": "cloud"})).status_code == 200
        demo.answer = (204, b"")
        sent = await client.post("/picture", content=b"jpeg", headers={"content-type": "image/jpeg"})
        assert (sent.status_code, sent.content) == (204, b"")
    assert demo.was_asked("/switch", {"tls": True})
    assert demo.was_asked("/end", {"party": "cloud"})
    assert ("POST", "/picture", b"jpeg") in demo.asked


async def test_the_page_hears_of_the_conductor_and_of_its_absence(scene: Scene, demo: FakeDemo) -> None:
    async with served(face_of(scene, demo.url)) as client:
        assert (await news(client, "conductor"))["conductor"] == {"reachable": True, "tls": False}
    async with served(face_of(scene, "http://127.0.0.1:9")) as client:
        found = (await news(client, "conductor"))["conductor"]
        assert found["reachable"] is False
        assert "does not answer" in found["error"]
        assert (await client.get("/state")).status_code == 502
