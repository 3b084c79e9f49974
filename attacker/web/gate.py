"""The page's door: who may come in, what every answer says, and how much may be brought along.

Every request must call this machine by a name that its owner uses (`siftfunnel.shared.hosts`), orders must
come from the page itself, and a token, where one was set, must be shown: in the address first, in a cookie
from then on.
"""

import hmac
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from siftfunnel.shared.hosts import is_own_origin, names_this_machine

COOKIE = "siftfunnel-page"
OPEN_PATHS = frozenset({"/healthz"})
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store, no-transform",
}


class Refusal(Exception):
    """A request that is not answered; `status` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    def response(self) -> JSONResponse:
        """What the client is told; its body was perhaps not read, so the connection ends."""
        headers = {"Connection": "close", **({"Retry-After": "10"} if self.status == 503 else {})}
        return JSONResponse({"error": str(self)}, status_code=self.status, headers=headers)


class Gate:
    """Wraps the application."""

    def __init__(
        self, app: ASGIApp, names: Collection[str] = (), token: str | None = None, addresses: bool = True
    ) -> None:
        """Let in what asks for the application rightly.

        Args:
            app: the application.
            names: further names of this machine (--page-name).
            token: what must be shown; None: nothing.
            addresses: whether every IP address may be asked for, not loopback alone.
        """
        self._app, self._names, self._token, self._addresses = app, frozenset(names), token, addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or say why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        brought = self._token is not None and self._token_in_address(scope)

        async def say(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), brought)
            await send(message)

        try:
            self._check(scope, brought)
        except Refusal as refusal:
            await refusal.response()(scope, receive, say)
            return
        await self._app(scope, receive, say)

    def _check(self, scope: Scope, brought: bool) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else None
        if not names_this_machine(host, self._names, self._addresses):
            known = ", to addresses, and to names given with --page-name" if self._addresses else " alone"
            asked = (host or "nobody")[:100]
            raise Refusal(403, f"this page answers to localhost{known}; it was asked as {asked!r}")
        if scope["method"] not in ("GET", "HEAD") and not is_own_origin(
            headers.get("origin"), host, self._names
        ):
            raise Refusal(403, "only the page itself may give orders: the request comes from another site")
        if self._token is None or brought or scope["path"] in OPEN_PATHS:
            return
        if not self._is_token(_cookie(headers)):
            raise Refusal(401, "the address lacks its token: open the one that the demo printed (…/?token=…)")

    def _token_in_address(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        return self._is_token(given[0])

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), (self._token or "").encode())

    def _add_headers(self, headers: MutableHeaders, brought: bool) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if brought:
            headers.append("Set-Cookie", f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Lax")


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """A request's body, refused before it is read where it says that it is too large.

    Raises:
        Refusal: status 413, or 400 for a length that is no number.
    """
    told = request.headers.get("content-length", "0")
    if not (told.isascii() and told.isdigit() and len(told) < 19):
        raise Refusal(400, "Content-Length is not a number")
    body = bytearray()
    if int(told) <= limit_bytes:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit_bytes:
                break
        else:
            return bytes(body)
    raise Refusal(413, f"send a body of at most {limit_bytes} bytes")


def check_content_type(request: Request, wanted: str) -> str:
    """The request's content type, which must begin with `wanted`.

    A form of another site can be posted here by any browser; these types need its permission first.

    Raises:
        Refusal: status 415.
    """
    given = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not given.startswith(wanted):
        raise Refusal(415, f"send a body of type {wanted}, not {given[:100]!r}")
    return given
