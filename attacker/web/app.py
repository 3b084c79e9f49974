"""The attacker's HTTP application: page, events, summary, and the conductor's switches where there is one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles

from attacker.knowledge import Knowledge
from attacker.web.conductor import Conductor, ConductorError
from attacker.web.hub import Hub, encode_event

PAGE = Path(__file__).parent.parent / "page"
STATE_EVERY_S = 0.4
CONDUCTOR_EVERY_S = 1.0
MAX_PAGES = 64
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Face:
    """What the application shows.

    Attributes:
        knowledge: bundles and what was wrong with some.
        hub: where events come from.
        summary: the books.
        control: the conductor's address, None without one.
    """

    knowledge: Knowledge
    hub: Hub
    summary: Callable[[], dict[str, Any]]
    control: str | None = None


def make_app(face: Face) -> FastAPI:
    """The application; its start and end open and close the hub."""
    conductor = Conductor(face.control) if face.control else None

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        face.hub.open()
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
    _add_headers(app)
    _add_reading(app, face)
    if conductor is not None:
        _add_switches(app, conductor)
    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    return app


def _add_headers(app: FastAPI) -> None:
    @app.middleware("http")
    async def headers(request: Request, call_next: Callable[[Request], Any]) -> Response:
        response: Response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def _add_reading(app: FastAPI, face: Face) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        return {"status": "ok"}

    @app.get("/summary")
    async def summary() -> dict[str, Any]:
        return _state(face)

    @app.get("/events")
    async def events() -> Response:
        if face.hub.subscribers >= MAX_PAGES:
            error = {"error": f"{MAX_PAGES} pages listen already; close one"}
            return JSONResponse(error, status_code=503, headers={"Retry-After": "10"})

        def greet(history: dict[str, Any]) -> Iterator[bytes]:
            yield encode_event("hello", _hello(face, history))
            yield encode_event("state", _state(face))

        return StreamingResponse(face.hub.listen(greet), media_type="text/event-stream")


def _add_switches(app: FastAPI, conductor: Conductor) -> None:
    @app.exception_handler(ConductorError)
    async def refused(_request: Request, error: ConductorError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=error.status)

    @app.get("/state")
    async def state() -> dict[str, Any]:
        return await conductor.state()

    @app.post("/switch")
    async def switch(request: Request) -> dict[str, Any]:
        # Any page on the web can make a browser post a form here; JSON needs the browser's permission first.
        if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
            raise ConductorError(415, "send application/json")
        try:
            wish = await request.json()
        except ValueError:
            raise ConductorError(422, "the body is not JSON") from None
        return await conductor.switch(wish)


def _hello(face: Face, history: dict[str, Any]) -> dict[str, Any]:
    return {
        "bundles": [target.as_json() for target in face.knowledge.targets],
        "problems": list(face.knowledge.problems),
        "control": face.control is not None,
        **history,
    }


def _state(face: Face) -> dict[str, Any]:
    return {
        **face.summary(),
        "page": {"subscribers": face.hub.subscribers, "events_dropped": face.hub.dropped},
    }


async def _report(face: Face, conductor: Conductor | None) -> None:
    """Publish the books and the conductor's state at a steady pace, while somebody looks."""
    loop = asyncio.get_running_loop()
    ask_again_s = 0.0
    while True:
        if face.hub.subscribers:
            face.hub.publish("state", _state(face))
            if conductor is not None and loop.time() >= ask_again_s:
                ask_again_s = loop.time() + CONDUCTOR_EVERY_S
                face.hub.publish("conductor", await _conductor_state(conductor))
        await asyncio.sleep(STATE_EVERY_S)


async def _conductor_state(conductor: Conductor) -> dict[str, Any]:
    try:
        return {"reachable": True, **await conductor.state()}
    except ConductorError as error:
        return {"reachable": False, "error": str(error)}
