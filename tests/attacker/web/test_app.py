import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from attacker.feeds.config import Endpoint
from attacker.serving import listen
from attacker.web.app import PAGE, Face, make_app
from attacker.web.hub import Hub
from tests.attacker.scene import Scene
from tests.attacker.web.test_conductor import FakeDemo, demo

__all__ = ["demo"]

BOOKS: dict[str, Any] = {
    "taps": [],
    "bundles": {"faces": {"psnr_mean": 20.5}},
    "pending": {"invert": 0, "score": 0},
}


@asynccontextmanager
async def served(face: Face) -> AsyncIterator[httpx.AsyncClient]:
    """The application on a real socket, as it is served, and a client of it."""
    listener = listen(Endpoint("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(face), log_level="error", timeout_graceful_shutdown=2))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=10
    ) as client:
        while not server.started:
            await asyncio.sleep(0.01)
        yield client
    face.hub.close()
    server.should_exit = True
    await running
    listener.close()


def face_of(scene: Scene, control: str | None = None) -> Face:
    return Face(scene.knowledge(), Hub(), lambda: dict(BOOKS), control)


async def events(client: httpx.AsyncClient, count: int) -> list[tuple[str, Any]]:
    """The first events of a fresh subscription."""
    found: list[tuple[str, Any]] = []
    name = ""
    async with client.stream("GET", "/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                found.append((name, json.loads(line.removeprefix("data: "))))
            if len(found) == count:
                break
    return found


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
            assert "default-src 'self'" in answer.headers["content-security-policy"]
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
        told = (await client.get("/summary")).json()
        assert told == {**BOOKS, "page": {"subscribers": 0, "events_dropped": 0}}


async def test_a_subscription_begins_with_who_is_who_and_goes_on_with_the_books(scene: Scene) -> None:
    async with served(face_of(scene)) as client:
        (hello, state, again) = await events(client, 3)
    assert hello[0] == "hello"
    assert [bundle["name"] for bundle in hello[1]["bundles"]] == [scene.shut.name, scene.open.name]
    assert hello[1]["control"] is False
    assert (state[0], again[0]) == ("state", "state")
    assert state[1]["bundles"]["faces"]["psnr_mean"] == 20.5
    assert again[1]["page"]["subscribers"] == 1


async def test_a_page_that_leaves_is_no_longer_served(scene: Scene) -> None:
    face = face_of(scene)
    async with served(face) as client:
        await events(client, 1)
        async with asyncio.timeout(10):
            while face.hub.subscribers:
                await asyncio.sleep(0.05)


async def test_more_pages_than_can_be_served_are_told_to_come_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attacker.web.app.MAX_PAGES", 0)
    async with served(face_of(scene)) as client:
        answer = await client.get("/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "close one" in answer.json()["error"]


async def test_switches_exist_only_with_a_conductor(scene: Scene) -> None:
    async with served(face_of(scene)) as client:
        assert (await client.get("/state")).status_code == 404
        assert (await client.post("/switch", json={"codec": "q4"})).status_code in {404, 405}


async def test_switches_reach_the_conductor(scene: Scene, demo: FakeDemo) -> None:
    async with served(face_of(scene, demo.url)) as client:
        assert (await client.get("/state")).json() == {"bundle": "faces"}
        assert (await client.post("/switch", json={"codec": "q4"})).json() == {"bundle": "faces"}
        assert ("POST", "/switch", {"codec": "q4"}) in demo.asked
        refused = await client.post("/switch", json={"speed": 1})
        assert (refused.status_code, refused.json()["error"][:13]) == (422, "unknown field")
        assert (
            await client.post("/switch", content=b"{", headers={"content-type": "application/json"})
        ).status_code == 422


async def test_a_form_of_another_site_cannot_switch(scene: Scene, demo: FakeDemo) -> None:
    async with served(face_of(scene, demo.url)) as client:
        answer = await client.post(
            "/switch", content=b'{"tls": false}', headers={"content-type": "text/plain"}
        )
    assert answer.status_code == 415
    assert not [asked for asked in demo.asked if asked[0] == "POST"]


async def test_the_page_hears_of_the_conductor_and_of_its_absence(scene: Scene, demo: FakeDemo) -> None:
    async with served(face_of(scene, demo.url)) as client:
        found = dict(await events(client, 4))
        assert found["conductor"] == {"reachable": True, "bundle": "faces"}
    async with served(face_of(scene, "http://127.0.0.1:9")) as client:
        found = dict(await events(client, 4))
        assert found["conductor"]["reachable"] is False
        assert "does not answer" in found["conductor"]["error"]
