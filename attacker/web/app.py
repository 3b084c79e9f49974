"""The attacker's HTTP application: page, news, summary, keepsakes, and the conductor where there is one.

The page's server only forwards what is asked of the conductor, so that the conductor need not be reachable
from where the page is looked at; what a wish may say is the conductor's business.
"""

import asyncio
import contextlib
import io
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.routing import Mount, Route

from siftfunnel.attacker.asking import AskError, ask
from siftfunnel.attacker.sheet import history_gif, pair_sheet
from siftfunnel.attacker.side_by_side import Pair
from siftfunnel.attacker.targets import Targets
from siftfunnel.attacker.web.gate import Gate, Refusal, check_content_type, read_body
from siftfunnel.attacker.web.hub import Hub, encode
from siftfunnel.shared.plain_words import title_of
from siftfunnel.shared.showing import without_credentials

PAGE = Path(__file__).parent.parent / "page"
STATE_EVERY_S = 0.4
CONDUCTOR_EVERY_S = 1.0
CONDUCTOR_WAIT_S = 30.0
CONDUCTOR_STATE_WAIT_S = 3.0
NEWS_WAIT_S = 15.0
EVENTS_GAP_S = 0.1
MAX_PAGES = 64
MAX_ORDER_BYTES = 4096
MAX_PICTURE_BYTES = 4 * 2**20
GIF_PAIRS = 12


@dataclass(frozen=True)
class Face:
    """What the application shows, and to whom.

    Attributes:
        targets: bundles and what was wrong with some.
        hub: where news comes from.
        summary: the books.
        control: the conductor's address, None without one.
        names: names of this machine beside localhost and addresses.
        token: what a visitor must show, None where everyone may look.
    """

    targets: Targets
    hub: Hub
    summary: Callable[[], dict[str, Any]]
    control: str | None = None
    names: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)


def make_app(face: Face) -> Gate:
    """The application behind its gate; its start and end open and close the hub."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        face.hub.open()
        face.hub.publish("hello", _hello(face))
        reporter = asyncio.create_task(_report(face))
        yield
        reporter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reporter

    async def refused(_request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refusal)
        return refusal.response()

    routes = [*_reading(face), *_keepsakes(face), *(_orders(face.control) if face.control else [])]
    app = FastAPI(
        openapi_url=None,
        routes=[*routes, Mount("/", StaticFiles(directory=PAGE, html=True))],
        exception_handlers={Refusal: refused},
        lifespan=lifespan,
    )
    return Gate(app, face.names, face.token)


def _reading(face: Face) -> list[Route]:
    hub = face.hub

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def summary(_request: Request) -> Response:
        return JSONResponse(_books(face))

    async def now(request: Request) -> Response:
        wait_s = 0.0 if request.method == "HEAD" else NEWS_WAIT_S
        after = _number(request, "after") or 0
        _check_room(hub)
        with hub.visit():
            news = await hub.news(request.query_params.get("session", ""), after, wait_s)
        return Response(news.as_json(), media_type="application/json")

    async def events(request: Request) -> Response:
        _check_room(hub)
        told = _events(hub) if request.method == "GET" else iter(())
        # A proxy must neither collect the stream before it passes it on nor compress it.
        return StreamingResponse(told, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    return [
        Route("/healthz", healthz),
        Route("/summary", summary),
        Route("/now", now),
        Route("/events", events),
    ]


def _keepsakes(face: Face) -> list[Route]:
    """What a visitor may look at again or take away: the latest pairs as data, as pictures, as a GIF."""
    drawing = threading.Lock()

    def title(digest: str) -> str:
        target = face.targets.get(digest)
        assert target is not None
        return title_of(target.bundle.manifest)

    def pair_called(request: Request) -> Pair:
        number: str = request.path_params["number"]
        for pair in face.hub.pairs():
            if str(pair.number) == number:
                return pair
        raise Refusal(404, f"pair {number[:20]} is not among the latest ones; nothing older is kept")

    def pair_png(request: Request) -> Response:
        pair, stored = pair_called(request), io.BytesIO()
        with drawing:
            pair_sheet(pair, title).save(stored, "PNG")
        return _file(stored.getvalue(), "image/png", f"siftfunnel-{pair.number}.png")

    async def pair_json(request: Request) -> Response:
        told = {**pair_called(request).as_json(), "kept": True}
        return Response(encode(told), media_type="application/json")

    def gif(request: Request) -> Response:
        until = _number(request, "until")
        pairs = [pair for pair in face.hub.pairs() if until is None or pair.number <= until]
        with drawing:
            try:
                picture = history_gif(pairs[-GIF_PAIRS:], title)
            except ValueError as error:
                raise Refusal(404, str(error)) from None
        return _file(picture, "image/gif", "siftfunnel.gif")

    return [
        Route("/pair/{number}.png", pair_png),
        Route("/pair/{number}", pair_json),
        Route("/history.gif", gif),
    ]


def _orders(control: str) -> list[Route]:
    async def state(_request: Request) -> Response:
        return await _forward(control, "GET", "/state")

    def order(path: str, kind: str, most_bytes: int) -> Route:
        async def pass_on(request: Request) -> Response:
            content_type = check_content_type(request, kind)
            body = await read_body(request, most_bytes)
            return await _forward(control, "POST", path, body, content_type)

        return Route(path, pass_on, methods=["POST"])

    return [
        Route("/state", state),
        *(order(path, "application/json", MAX_ORDER_BYTES) for path in ("/switch", "/end")),
        order("/picture", "image/", MAX_PICTURE_BYTES),
    ]


async def _forward(control: str, method: str, path: str, body: bytes = b"", kind: str = "") -> Response:
    """Ask the conductor what the page asked; its status and body as they are."""
    headers = {"Content-Type": kind} if body else {}
    url = control.rstrip("/") + path
    try:
        status, told = await asyncio.to_thread(ask, url, CONDUCTOR_WAIT_S, method, body, headers)
    except AskError as error:
        raise Refusal(502, _silent(control, str(error))) from None
    return Response(told, status_code=status, media_type="application/json" if told else None)


async def conductor_state(control: str) -> dict[str, Any]:
    """What runs now and what could be chosen, or why that is not known."""
    url = f"{control.rstrip('/')}/state"
    try:
        status, told = await asyncio.to_thread(ask, url, CONDUCTOR_STATE_WAIT_S)
    except AskError as error:
        return {"reachable": False, "error": _silent(control, str(error))}
    try:
        value = json.loads(told)
    except (ValueError, RecursionError):
        value = None
    if status == 200 and isinstance(value, dict):
        return {"reachable": True, **value}
    shown = without_credentials(control)
    return {
        "reachable": False,
        "error": f"the conductor at {shown} did not tell its state (status {status})",
    }


def _silent(control: str, reason: str) -> str:
    return f"the conductor at {without_credentials(control)} does not answer: {reason}"


def _number(request: Request, name: str) -> int | None:
    """A number of the query; None where it is not given."""
    given = request.query_params.get(name)
    try:
        return None if given is None else int(given)
    except ValueError:
        raise Refusal(422, f"{name} must be a whole number, not {given!r:.100}") from None


def _file(content: bytes, kind: str, name: str) -> Response:
    return Response(
        content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _check_room(hub: Hub) -> None:
    if hub.visitors >= MAX_PAGES:
        raise Refusal(503, f"{MAX_PAGES} pages listen already; close one")


async def _events(hub: Hub) -> AsyncIterator[bytes]:
    """The news again and again, for those who would rather be told than ask."""
    number = 0
    with hub.visit():
        while not hub.closed:
            news = await hub.news(hub.session, number, NEWS_WAIT_S)
            number = news.number
            yield news.as_events()
            await asyncio.sleep(EVENTS_GAP_S)


def _hello(face: Face) -> dict[str, Any]:
    return {
        "bundles": [target.as_json() for target in face.targets],
        "problems": list(face.targets.problems),
        "control": face.control is not None,
    }


def _books(face: Face) -> dict[str, Any]:
    return {**face.summary(), "page": {"subscribers": face.hub.visitors}}


async def _report(face: Face) -> None:
    """Publish the books and the conductor's state at a steady pace, while somebody looks."""
    loop = asyncio.get_running_loop()
    ask_again_s = 0.0
    while True:
        face.hub.tick()
        if face.hub.is_looked_at:
            face.hub.publish("books", _books(face))
            if face.control is not None and loop.time() >= ask_again_s:
                ask_again_s = loop.time() + CONDUCTOR_EVERY_S
                face.hub.publish("conductor", await conductor_state(face.control))
        await asyncio.sleep(STATE_EVERY_S)
