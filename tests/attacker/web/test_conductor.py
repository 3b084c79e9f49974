import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from siftfunnel.attacker.web.conductor import Conductor, ConductorError


class FakeDemo:
    """A control address over real HTTP; `answer` is what it says next."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, b'{"tls": false}')
        self.asked: list[tuple[str, str, bytes]] = []
        demo = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.respond(b"")

            def do_POST(self) -> None:
                self.respond(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

            def respond(self, body: bytes) -> None:
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

    def was_asked(self, path: str, value: Any) -> bool:
        """Whether the page asked for this."""
        posted = [body for method, asked, body in self.asked if (method, asked) == ("POST", path)]
        return value in [json.loads(body) for body in posted]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def demo() -> Iterator[FakeDemo]:
    fake = FakeDemo()
    yield fake
    fake.close()


async def test_states_are_read_and_orders_are_passed_on_as_they_are(demo: FakeDemo) -> None:
    conductor = Conductor(demo.url + "/")
    assert await conductor.state() == {"tls": False}
    told = await conductor.forward("POST", "/switch", b'{ "tls":true }', "application/json")
    assert told == (200, b'{"tls": false}')
    await conductor.close()
    assert demo.asked == [("GET", "/state", b""), ("POST", "/switch", b'{ "tls":true }')]


async def test_what_the_conductor_refuses_is_told_as_it_said_it(demo: FakeDemo) -> None:
    demo.answer = (422, b'{"error": "no bundle of that name"}')
    conductor = Conductor(demo.url)
    assert (await conductor.forward("POST", "/switch", b"{}"))[0] == 422
    await conductor.close()


@pytest.mark.parametrize("answer", [(503, b"busy"), (200, b"not json"), (200, b"[]"), (200, b"[" * 100_000)])
async def test_a_state_that_is_none_is_an_error(demo: FakeDemo, answer: tuple[int, bytes]) -> None:
    demo.answer = answer
    conductor = Conductor(demo.url)
    with pytest.raises(ConductorError, match="did not tell its state"):
        await conductor.state()
    await conductor.close()


async def test_a_conductor_that_is_gone_is_told(free_port: Any) -> None:
    conductor = Conductor(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ConductorError, match="does not answer"):
        await conductor.state()
    await conductor.close()
