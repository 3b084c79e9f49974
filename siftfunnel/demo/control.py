"""The conductor's control address: what runs, wishes for something else, own pictures, the kill button.

Standard-library HTTP on loopback. A page in somebody's browser could reach it too, so a request must name a
loopback host (no DNS rebinding), come from no foreign origin, and carry JSON or a picture (no form of another
site).
"""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from siftfunnel.shared.hosts import is_own_origin, names_this_machine

MAX_ORDER_BYTES = 4096
MAX_PICTURE_BYTES = 4 << 20
PARTIES = ("cloud", "edge")
_PATHS = "GET /state, POST /switch, POST /picture and POST /end"
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


class WishError(ValueError):
    """A wish the conductor cannot grant; the text says why."""


class Orders(Protocol):
    """What the address can ask of the conductor; called on the server's threads."""

    def state(self) -> dict[str, Any]:
        """What runs now."""

    def switch(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Take a checked wish and return the state; raises WishError."""

    def picture(self, encoded: bytes) -> None:
        """Play a person's own picture next."""

    def end(self, party: str) -> dict[str, Any]:
        """Kill a party and return the state; raises WishError."""


class ControlServer:
    """Serves the address on 127.0.0.1 from a thread of its own."""

    def __init__(self, orders: Orders, port: int = 0) -> None:
        """Start to serve.

        Args:
            orders: who obeys.
            port: 0 takes a free one.
        """
        self._server = _Server(("127.0.0.1", port), _handler(orders))
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


def _is_names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _is_codecs(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value.values())


_WISHES: dict[str, tuple[Callable[[object], bool], str]] = {
    "bundles": (_is_names, "a list of bundles' names"),
    "codec": (_is_codecs, "an object of bundles and their codecs"),
    "tls": (lambda value: isinstance(value, bool), "true or false"),
    "pictures": (lambda value: value in ("demo", "own"), 'of "demo" and "own"'),
    "in_turn": (lambda value: value is True, "true"),
}


def read_wish(body: bytes) -> dict[str, Any]:
    """Parse and check the body of a switch.

    Raises:
        WishError: not a JSON object, an unknown field or a wrong type; the text names it.

    >>> read_wish(b'{"tls": true}')
    {'tls': True}
    """
    wish = _read_object(body)
    if not wish:
        raise WishError(f"expected a JSON object with one or more of {', '.join(_WISHES)}")
    for name, value in wish.items():
        if name not in _WISHES:
            raise WishError(f"unknown field {name!r}; known: {', '.join(_WISHES)}")
        fits, meant = _WISHES[name]
        if not fits(value):
            raise WishError(f"{name} must be {meant}")
    if "bundles" in wish and "in_turn" in wish:
        raise WishError("bundles and in_turn exclude each other")
    return wish


def read_end(body: bytes) -> str:
    """The party that the body of an end names.

    Raises:
        WishError: it names none.
    """
    party = _read_object(body).get("party")
    if party not in PARTIES:
        raise WishError(f"party must be one of {', '.join(PARTIES)}")
    return str(party)


def is_picture(encoded: bytes) -> bool:
    """Whether the bytes begin as JPEG, PNG or WebP does."""
    return encoded.startswith(_MAGIC) or (encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP")


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise WishError("the body is not JSON") from None
    if not isinstance(value, dict):
        raise WishError("the body is no JSON object")
    return value


def _handler(orders: Orders) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10.0

        def do_GET(self) -> None:
            if self._refused_as_foreign():
                return
            if self.path != "/state":
                self._answer(404, {"error": f"no such path {self.path}; there are {_PATHS}"})
                return
            self._answer(200, orders.state())

        def do_POST(self) -> None:
            if self._refused_as_foreign():
                return
            obey = {"/switch": self._switch, "/picture": self._picture, "/end": self._end}.get(self.path)
            if obey is None:
                self._answer(404, {"error": f"no such path {self.path}; there are {_PATHS}"})
                return
            try:
                obey()
            except WishError as error:
                self._answer(422, {"error": str(error)})

        def _switch(self) -> None:
            if (body := self._body("application/json", MAX_ORDER_BYTES)) is not None:
                self._answer(200, orders.switch(read_wish(body)))

        def _end(self) -> None:
            if (body := self._body("application/json", MAX_ORDER_BYTES)) is not None:
                self._answer(200, orders.end(read_end(body)))

        def _picture(self) -> None:
            body = self._body("image/", MAX_PICTURE_BYTES)
            if body is None:
                return
            if not is_picture(body):
                raise WishError("send a picture as JPEG, PNG or WebP")
            orders.picture(body)
            self._answer(204, None)

        def _body(self, kind: str, most: int) -> bytes | None:
            """The body, if it is of a kind and no larger than this; else None, and it was refused."""
            length = self.headers.get("Content-Length", "")
            if not self.headers.get_content_type().startswith(kind):
                self._answer(415, {"error": f"send {kind if kind[-1] != '/' else 'a picture, image/...'}"})
            elif not (length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= most):
                self._answer(413, {"error": f"send a body of at most {most} bytes with its Content-Length"})
            else:
                return self.rfile.read(int(length))
            return None

        def _refused_as_foreign(self) -> bool:
            host = self.headers.get("Host")
            if names_this_machine(host) and is_own_origin(self.headers.get("Origin"), host):
                return False
            self._answer(
                403, {"error": "only this machine may ask: the host or origin is not a loopback name"}
            )
            return True

        def _answer(self, status: int, value: dict[str, Any] | None) -> None:
            body = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            if value is not None:
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
