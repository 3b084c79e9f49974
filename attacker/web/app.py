"""The attacker's HTTP application: page, news, summary, keepsakes, and the conductor where there is one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles

from siftfunnel.attacker.knowledge import Knowledge
from siftfunnel.attacker.web.conductor import Conductor, ConductorError
from siftfunnel.attacker.web.gate import Gate, Refusal, check_content_type, read_body
from siftfunnel.attacker.web.hub import Hub
from siftfunnel.attacker.web.keepsakes import add_keepsakes

PAGE = Path(__file__).parent.parent / "page"
STATE_EVERY_S = 0.4
CONDUCTOR_EVERY_S = 1.0
NEWS_WAIT_S = 15.0
EVENTS_GAP_S = 0.1
MAX_PAGES = 64
MAX_ORDER_BYTES = 4096
MAX_PICTURE_BYTES = 4 * 2**20
READ = ["GET", "HEAD"]


@dataclass(frozen=True)
class Face:
    """What the application shows, and to whom.

    Attributes:
        knowledge: bundles and what was wrong with some.
        hub: where news comes from.
        summary: the books.
        control: the conductor's address, None without one.
        names: names of this machine beside localhost and addresses.
        token: what a visitor must show, None where everyone may look.
    """

    knowledge: Knowledge
    hub: Hub
    summary: Callable[[], dict[str, Any]]
    control: str | None = None
    names: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)


def make_app(face: Face) -> Gate:
    """The application behind its gate; its start and end open and close the hub."""
    conductor = Conductor(face.control) if face.control else None

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        face.hub.open()
        face.hub.publish("hello", _hello(face))
        reporter = asyncio.create_task(_report(face, conductor))
        yield
        reporter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reporter
        if conductor is not None:
            await conductor.close()

    app = FastAPI(
        title="siftfunnel attacker", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )

    @app.exception_handler(Refusal)
    async def refused(_request: Request, refusal: Refusal) -> JSONResponse:
        return refusal.response()

    _add_reading(app, face)
    add_keepsakes(app, face.hub, {target.bundle.digest: target for target in face.knowledge.targets})
    if conductor is not None:
        _add_orders(app, conductor)
    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    return Gate(app, face.names, face.token)


def _add_reading(app: FastAPI, face: Face) -> None:
    @app.api_route("/healthz", methods=READ)
    async def healthz() -> dict[str, Any]:
        return {"status": "ok"}

    @app.api_route("/summary", methods=READ)
    async def summary() -> dict[str, Any]:
        return _books(face)

    @app.api_route("/now", methods=READ)
    async def now(request: Request, session: str = "", after: int = 0) -> Response:
        wait_s = 0.0 if request.method == "HEAD" else NEWS_WAIT_S
        _check_room(face.hub)
        with face.hub.visit():
            news = await face.hub.news(session, after, wait_s)
        return Response(news.as_json(), media_type="application/json")

    @app.api_route("/events", methods=READ)
    async def events(request: Request) -> Response:
        _check_room(face.hub)
        told = _events(face.hub) if request.method == "GET" else iter(())
        # A proxy must neither collect the stream before it passes it on nor compress it.
        return StreamingResponse(told, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


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


def _add_orders(app: FastAPI, conductor: Conductor) -> None:
    async def forward(method: str, path: str, body: bytes = b"", content_type: str = "") -> Response:
        try:
            status, told = await conductor.forward(method, path, body, content_type)
        except ConductorError as error:
            raise Refusal(502, str(error)) from None
        return Response(told, status_code=status, media_type="application/json" if told else None)

    @app.api_route("/state", methods=READ)
    async def state() -> Response:
        return await forward("GET", "/state")

    @app.post("/switch")
    @app.post("/end")
    async def order(request: Request) -> Response:
        content_type = check_content_type(request, "application/json")
        body = await read_body(request, MAX_ORDER_BYTES)
        return await forward("POST", request.url.path, body, content_type)

    @app.post("/picture")
    async def picture(request: Request) -> Response:
        content_type = check_content_type(request, "image/")
        body = await read_body(request, MAX_PICTURE_BYTES)
        return await forward("POST", "/picture", body, content_type)


def _hello(face: Face) -> dict[str, Any]:
    return {
        "bundles": [target.as_json() for target in face.knowledge.targets],
        "problems": list(face.knowledge.problems),
        "control": face.control is not None,
    }


def _books(face: Face) -> dict[str, Any]:
    return {**face.summary(), "page": {"subscribers": face.hub.visitors}}


async def _report(face: Face, conductor: Conductor | None) -> None:
    """Publish the books and the conductor's state at a steady pace, while somebody looks."""
    loop = asyncio.get_running_loop()
    ask_again_s = 0.0
    while True:
        face.hub.tick()
        if face.hub.is_looked_at:
            face.hub.publish("books", _books(face))
            if conductor is not None and loop.time() >= ask_again_s:
                ask_again_s = loop.time() + CONDUCTOR_EVERY_S
                face.hub.publish("conductor", await _conductor_state(conductor))
        await asyncio.sleep(STATE_EVERY_S)


async def _conductor_state(conductor: Conductor) -> dict[str, Any]:
    try:
        return {"reachable": True, **await conductor.state()}
    except ConductorError as error:
        return {"reachable": False, "error": str(error)}
