"""A demo that answers what a test tells it to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


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
