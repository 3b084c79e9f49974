"""The gate before a real server: whom it lets in, and what it does not read."""

import asyncio
from typing import Any

import httpx
import pytest

from siftfunnel.attacker.web.app import MAX_ORDER_BYTES, MAX_PICTURE_BYTES, Face
from tests.attacker.scene import Scene
from tests.attacker.web.fakedemo import FakeDemo
from tests.attacker.web.serving import face_of, served

READ = ("/", "/app.js", "/healthz", "/summary", "/now", "/events", "/state", "/history.gif", "/pair/1")
TOKEN = "0123456789abcdef-secret"
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("path", READ)
async def test_a_name_that_somebody_else_points_here_is_refused_everywhere(
    scene: Scene, demo: FakeDemo, path: str
) -> None:
    async with served(face_of(scene, demo.url)) as client:
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80"):
            answer = await client.get(path, headers={"host": host})
            assert answer.status_code == 403
            assert "--page-name" in answer.json()["error"]
    assert not demo.asked


async def test_the_page_answers_to_loopback_to_addresses_and_to_names_that_were_given(scene: Scene) -> None:
    async with served(face_of(scene, names=("demo.local",))) as client:
        for host in ("localhost", "127.0.0.1:9", "[::1]", "192.168.1.7:8080", "demo.local", "Demo.Local:80"):
            assert (await client.get("/summary", headers={"host": host})).status_code == 200
        assert (await client.get("/summary", headers={"host": "demo.other"})).status_code == 403


async def test_a_request_without_one_host_is_refused(scene: Scene) -> None:
    async with served(face_of(scene)) as client:
        for head in ("", "Host: 127.0.0.1\r\nHost: evil.example\r\n"):
            reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
            writer.write(f"GET /summary HTTP/1.0\r\n{head}\r\n".encode())
            assert b" 40" in await reader.readline()
            writer.close()


@pytest.mark.parametrize("path", ["/switch", "/end", "/picture"])
async def test_orders_of_another_site_are_refused(scene: Scene, demo: FakeDemo, path: str) -> None:
    async with served(face_of(scene, demo.url)) as client:
        kind = "image/png" if path == "/picture" else "application/json"
        own = f"http://{client.base_url.host}:{client.base_url.port}"
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", own.replace("http", "ftp") + "0"):
            answer = await client.post(path, content=b"{}", headers={"content-type": kind, "origin": origin})
            assert answer.status_code == 403
        assert not [asked for asked in demo.asked if asked[0] == "POST"]
        assert (
            await client.post(path, content=b"{}", headers={"content-type": kind, "origin": own})
        ).status_code == 200


@pytest.mark.parametrize(
    ("path", "kind"), [("/switch", "text/plain"), ("/end", ""), ("/picture", "application/json")]
)
async def test_a_form_of_another_site_cannot_give_orders(
    scene: Scene, demo: FakeDemo, path: str, kind: str
) -> None:
    async with served(face_of(scene, demo.url)) as client:
        answer = await client.post(path, content=b'{"tls": false}', headers={"content-type": kind})
    assert answer.status_code == 415
    assert not [asked for asked in demo.asked if asked[0] == "POST"]


@pytest.mark.parametrize(
    ("path", "kind", "limit"),
    [
        ("/switch", "application/json", MAX_ORDER_BYTES),
        ("/end", "application/json", MAX_ORDER_BYTES),
        ("/picture", "image/jpeg", MAX_PICTURE_BYTES),
    ],
)
async def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    scene: Scene, demo: FakeDemo, path: str, kind: str, limit: int
) -> None:
    async with served(face_of(scene, demo.url)) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        writer.write(f"{head}Content-Length: {limit + 1}\r\n\r\n".encode())
        assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)
        writer.close()

        async def pieces() -> Any:
            for _ in range(limit // 1024 + 2):
                yield b"[" * 1024

        try:
            answer = await client.post(path, content=pieces(), headers={"content-type": kind})
        except httpx.TransportError:  # the server did not wait for the rest
            pass
        else:
            assert answer.status_code == 413
        fits = await client.post(path, content=b"{" * limit, headers={"content-type": kind})
        assert fits.status_code == 200
    assert [len(body) for method, _, body in demo.asked if method == "POST"] == [limit]


async def test_json_however_deep_is_passed_on_and_no_accident(scene: Scene, demo: FakeDemo) -> None:
    demo.answer = (422, b'{"error": "the body is not JSON"}')
    async with served(face_of(scene, demo.url)) as client:
        answer = await client.post("/switch", content=b"[" * 4000, headers=JSON)
    assert (answer.status_code, answer.json()) == (422, {"error": "the body is not JSON"})


async def test_with_a_token_nothing_is_shown_without_it(scene: Scene, demo: FakeDemo) -> None:
    async with served(face_of(scene, demo.url, token=TOKEN)) as client:
        for path in READ:
            status = (await client.get(path)).status_code
            assert status == (200 if path == "/healthz" else 401)
        for wrong in (TOKEN[:-1], TOKEN + "x", "", "%00", "ü"):
            assert (await client.get("/summary", params={"token": wrong})).status_code == 401
            cookies = {b"cookie": f"siftfunnel-page={wrong}".encode()}
            assert (await client.get("/summary", headers=cookies)).status_code == 401
        assert (await client.post("/switch", content=b"{}", headers=JSON)).status_code == 401
    assert not demo.asked


async def test_a_token_in_the_address_is_kept_as_a_cookie(scene: Scene, demo: FakeDemo) -> None:
    async with served(face_of(scene, demo.url, token=TOKEN)) as client:
        first = await client.get("/", params={"token": TOKEN})
        assert first.status_code == 200
        assert all(word in first.headers["set-cookie"] for word in ("HttpOnly", "SameSite=Lax", "Path=/"))
        assert (await client.get("/summary")).status_code == 200
        assert (await client.post("/switch", content=b"{}", headers=JSON)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/pair/" + "9" * 5000,
        "/pair/" + "9" * 5000 + ".png",
        "/pair/-1.png",
        "/pair/x",
        "/history.gif?until=" + "9" * 5000,
        "/now?after=" + "9" * 5000,
        "/now?after=x",
        "/?token=" + "%ff" * 1000,
    ],
)
async def test_no_address_is_an_accident(scene: Scene, path: str) -> None:
    async with served(face_of(scene)) as client:
        assert (await client.head(path)).status_code in (200, 404, 422)


async def test_every_answer_says_that_it_is_not_to_be_kept_changed_or_embedded(scene: Scene) -> None:
    async with served(face_of(scene)) as client:
        for path in ("/", "/style.css", "/summary", "/now", "/nothing"):
            headers = (await client.get(path)).headers
            assert headers["cache-control"] == "no-store, no-transform"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "default-src 'self'" in headers["content-security-policy"]


@pytest.mark.parametrize("path", READ)
async def test_whatever_can_be_read_can_be_asked_for_its_head(
    scene: Scene, demo: FakeDemo, path: str
) -> None:
    async with served(face_of(scene, demo.url)) as client:
        head = await asyncio.wait_for(client.head(path), 10)
        assert head.content == b""
        assert head.status_code == (404 if path in ("/history.gif", "/pair/1") else 200)


async def test_a_proxy_is_told_to_pass_the_event_stream_on_as_it_comes(scene: Scene) -> None:
    async with served(face_of(scene)) as client, client.stream("GET", "/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        assert "no-transform" in response.headers["cache-control"]


def test_a_face_shows_its_token_to_nobody(scene: Scene) -> None:
    assert TOKEN not in repr(Face(scene.targets(), None, dict, token=TOKEN))
