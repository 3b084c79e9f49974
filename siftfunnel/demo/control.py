"""The conductor's control address: what runs, wishes for something else, own pictures, the kill button.

HTTP on loopback. A page in somebody's browser could reach it too, so it stands behind the gate that the
attacker's page has: a request must name a loopback host (no DNS rebinding), come from no foreign origin, and
carry JSON or a picture (no form of another site).
"""

import json
import socket
import threading
from asyncio import to_thread
from collections.abc import Callable
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from siftfunnel.attacker.web.gate import Gate, Refusal, check_content_type, read_body
from siftfunnel.demo.selection import WishError
from siftfunnel.shared.ports import LOOPBACK

MAX_ORDER_BYTES = 4096
MAX_PICTURE_BYTES = 4 << 20
PARTIES = ("cloud", "edge")
_GRACE_S = 2
_PATHS = "GET /state, POST /switch, POST /picture and POST /end"
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


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
    """Serves the address on 127.0.0.1 from a thread of its own; port 0 takes a free one."""

    def __init__(self, orders: Orders, port: int = 0) -> None:
        listener = socket.create_server((LOOPBACK, port))
        self.url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            _app(orders), log_level="error", ws="none", timeout_graceful_shutdown=_GRACE_S
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="control", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.should_exit = True
        self._thread.join()


def _app(orders: Orders) -> Gate:
    def state(_request: Request) -> Response:
        return JSONResponse(orders.state())

    async def switch(request: Request) -> Response:
        return JSONResponse(await to_thread(orders.switch, read_wish(await _order(request))))

    async def end(request: Request) -> Response:
        return JSONResponse(await to_thread(orders.end, read_end(await _order(request))))

    async def picture(request: Request) -> Response:
        check_content_type(request, "image/")
        body = await read_body(request, MAX_PICTURE_BYTES)
        if not is_picture(body):
            raise WishError("send a picture as JPEG, PNG or WebP")
        orders.picture(body)
        return Response(status_code=204)

    async def refused(_request: Request, error: Exception) -> Response:
        refusal = error if isinstance(error, Refusal) else Refusal(422, str(error))
        return refusal.response()

    async def unknown(request: Request, _error: Exception) -> Response:
        return Refusal(404, f"no such path {request.url.path}; there are {_PATHS}").response()

    app = Starlette(
        routes=[
            Route("/state", state),
            Route("/switch", switch, methods=["POST"]),
            Route("/end", end, methods=["POST"]),
            Route("/picture", picture, methods=["POST"]),
        ],
        exception_handlers={Refusal: refused, WishError: refused, 404: unknown, 405: unknown},
    )
    return Gate(app, addresses=False)


async def _order(request: Request) -> bytes:
    check_content_type(request, "application/json")
    return await read_body(request, MAX_ORDER_BYTES)


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
