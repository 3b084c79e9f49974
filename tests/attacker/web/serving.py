"""The application on a real socket, as it is served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn

from siftfunnel.attacker.serving import listen
from siftfunnel.attacker.web.app import Face, make_app
from siftfunnel.attacker.web.hub import Hub
from siftfunnel.shared.ports import Endpoint
from tests.attacker.scene import Scene

BOOKS: dict[str, Any] = {
    "taps": [],
    "bundles": {"faces": {"psnr_mean": 20.5}},
    "pending": {"invert": 0, "score": 0},
}


@asynccontextmanager
async def served(face: Face) -> AsyncIterator[httpx.AsyncClient]:
    """The application on a free port, and a client of it."""
    listener = listen(Endpoint("127.0.0.1", 0))
    config = uvicorn.Config(make_app(face), log_level="error", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        while not server.started:
            await asyncio.sleep(0.01)
        yield client
    face.hub.close()
    server.should_exit = True
    await running
    listener.close()


def face_of(
    scene: Scene, control: str | None = None, names: tuple[str, ...] = (), token: str | None = None
) -> Face:
    """A face with a hub of its own and books that do not change."""
    return Face(scene.targets(), Hub(), lambda: dict(BOOKS), control, names, token)
