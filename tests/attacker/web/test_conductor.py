import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from attacker.web.conductor import Conductor, ConductorError, check_wish


class FakeDemo:
    """A control address over real HTTP; `answer` is what it says next."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, b'{"bundle": "faces"}')
        self.asked: list[tuple[str, str, Any]] = []
        demo = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.respond(None)

            def do_POST(self) -> None:
                self.respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def respond(self, body: Any) -> None:
                demo.asked.append((self.command, self.path, body))
                status, told = demo.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def demo() -> Iterator[FakeDemo]:
    fake = FakeDemo()
    yield fake
    fake.close()


async def test_wishes_and_states_are_passed_on(demo: FakeDemo) -> None:
    conductor = Conductor(demo.url + "/")
    assert await conductor.state() == {"bundle": "faces"}
    assert await conductor.switch({"codec": "q4", "tls": True}) == {"bundle": "faces"}
    await conductor.close()
    assert demo.asked == [("GET", "/state", None), ("POST", "/switch", {"codec": "q4", "tls": True})]


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        ([], "JSON object"),
        ({}, "JSON object"),
        ({"speed": 3}, "unknown field 'speed'"),
        ({"tls": "yes"}, "tls must be of type bool"),
        ({"bundle": 1}, "bundle must be of type str"),
    ],
)
def test_a_wish_nobody_can_grant_is_refused_by_field(wish: Any, complaint: str) -> None:
    with pytest.raises(ConductorError, match=complaint) as refusal:
        check_wish(wish)
    assert refusal.value.status == 422


@pytest.mark.parametrize(
    ("answer", "status", "complaint"),
    [
        ((400, b'{"error": "no bundle of that name"}'), 400, "no bundle of that name"),
        ((503, b"busy"), 503, "busy"),
        ((200, b"not json"), 502, "JSON object"),
        ((200, b"[]"), 502, "JSON object"),
    ],
)
async def test_what_the_conductor_refuses_is_told(
    demo: FakeDemo, answer: tuple[int, bytes], status: int, complaint: str
) -> None:
    demo.answer = answer
    conductor = Conductor(demo.url)
    with pytest.raises(ConductorError, match=complaint) as refusal:
        await conductor.switch({"codec": "q4"})
    await conductor.close()
    assert refusal.value.status == status


async def test_a_conductor_that_is_gone_is_told(demo: FakeDemo, free_port: Any) -> None:
    conductor = Conductor(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ConductorError, match="does not answer") as refusal:
        await conductor.state()
    await conductor.close()
    assert refusal.value.status == 502
