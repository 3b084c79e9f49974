"""The conductor's control address: what runs now, and wishes for another bundle, codec or TLS.

Standard-library HTTP on loopback. A page in somebody's browser could reach it too, so a request must name a
loopback host (no DNS rebinding), come from no foreign origin, and carry JSON (no form of another site).
"""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

MAX_BODY_BYTES = 4096
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_WISHES = {"bundle": str, "codec": str, "tls": bool}


class WishError(ValueError):
    """A wish the conductor cannot grant; the text says why."""


class ControlServer:
    """Serves ``GET /state`` and ``POST /switch`` on 127.0.0.1 from a thread of its own."""

    def __init__(
        self,
        state: Callable[[], dict[str, Any]],
        switch: Callable[[dict[str, Any]], dict[str, Any]],
        port: int = 0,
    ) -> None:
        """Start to serve.

        Args:
            state: returns what runs now; called on the server's threads.
            switch: takes a checked wish and returns the state it leads to; raises WishError.
            port: 0 takes a free one.
        """
        self._server = _Server(("127.0.0.1", port), _handler(state, switch))
        self._thread = threading.Thread(target=self._server.serve_forever, name="control", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away in the middle is no news."""


def read_wish(body: bytes) -> dict[str, Any]:
    """Parse and check the body of a switch.

    Raises:
        WishError: not a JSON object, an unknown field or a wrong type; the text names it.

    >>> read_wish(b'{"tls": true}')
    {'tls': True}
    """
    try:
        wish = json.loads(body)
    except (ValueError, RecursionError):
        raise WishError("the body is not JSON") from None
    if not isinstance(wish, dict) or not wish:
        raise WishError(f"expected a JSON object with one or more of {', '.join(_WISHES)}")
    for name, value in wish.items():
        if name not in _WISHES:
            raise WishError(f"unknown field {name!r}; known: {', '.join(_WISHES)}")
        if not isinstance(value, _WISHES[name]):
            raise WishError(f"{name} must be of type {_WISHES[name].__name__}")
    return wish


def is_local(host_header: str | None, origin: str | None) -> bool:
    """Whether a request names a loopback host and comes from no other site.

    >>> is_local("127.0.0.1:9300", None), is_local("evil.example", None)
    (True, False)
    """
    try:
        names = [urlsplit(f"//{host_header}").hostname]
        if origin is not None:
            names.append(urlsplit(origin).hostname)
    except ValueError:
        return False
    return all(name in _LOOPBACK for name in names)


def _handler(
    state: Callable[[], dict[str, Any]], switch: Callable[[dict[str, Any]], dict[str, Any]]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10.0

        def do_GET(self) -> None:
            if self._refused_as_foreign():
                return
            if self.path != "/state":
                self._answer(
                    404, {"error": f"no such path {self.path}; there are GET /state and POST /switch"}
                )
                return
            self._answer(200, state())

        def do_POST(self) -> None:
            if self._refused_as_foreign():
                return
            if self.path != "/switch":
                self._answer(
                    404, {"error": f"no such path {self.path}; there are GET /state and POST /switch"}
                )
            elif self.headers.get_content_type() != "application/json":
                self._answer(415, {"error": "send application/json"})
            else:
                self._switch()

        def _switch(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY_BYTES:
                self._answer(
                    413, {"error": f"send a body of at most {MAX_BODY_BYTES} bytes with its Content-Length"}
                )
                return
            try:
                self._answer(200, switch(read_wish(self.rfile.read(int(length)))))
            except WishError as error:
                self._answer(422, {"error": str(error)})

        def _refused_as_foreign(self) -> bool:
            if is_local(self.headers.get("Host"), self.headers.get("Origin")):
                return False
            self._answer(
                403, {"error": "only this machine may ask: the host or origin is not a loopback name"}
            )
            return True

        def _answer(self, status: int, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            if status >= 400:
                # A refused request's body was not read; it must not be taken for the next request.
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the terminal for the view."""

    return Handler
