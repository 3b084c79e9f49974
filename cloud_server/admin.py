"""The admin side over HTTP: health, bundles, metrics.

It runs in a thread with an event loop of its own. A slow scrape then costs the streams no turn of their loop,
and `/healthz` can still answer, and say so, when that loop is stuck.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from siftfunnel.cloud_server.ports import listening_sockets
from siftfunnel.shared.ports import Endpoint

State = Literal["serving", "draining", "stalled"]

_START_S = 10.0
_CONNECTIONS = 256
"""Those over this many are told 503 at once: a scraper needs one, and nobody may hold all memory."""


@dataclass(frozen=True)
class AdminView:
    """What the admin side may see of the server; called from its thread.

    Attributes:
        state: what the server is doing.
        bundles: one JSON object per bundle.
        metrics: Prometheus text.
    """

    state: Callable[[], State]
    bundles: Callable[[], list[dict[str, Any]]]
    metrics: Callable[[], bytes]


def make_app(view: AdminView) -> Starlette:
    """The admin application, for GET and HEAD; every route reads and none changes anything."""

    async def healthz(request: Request) -> Response:
        state = view.state()
        return JSONResponse({"status": state}, status_code=200 if state == "serving" else 503)

    async def bundles(request: Request) -> Response:
        return JSONResponse(view.bundles())

    async def metrics(request: Request) -> Response:
        return Response(view.metrics(), headers={"content-type": CONTENT_TYPE_LATEST})

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/bundles", bundles), Route("/metrics", metrics)]
    )


class AdminServer:
    """Serves the admin application from a thread.

    Args:
        endpoint: where to listen.
        view: what to show.

    Raises:
        ListenError: the address cannot be listened on.
    """

    def __init__(self, endpoint: Endpoint, view: AdminView) -> None:
        self._sockets = listening_sockets(endpoint, "--http")
        self.endpoint = endpoint.with_port(self._sockets[0].getsockname()[1])
        settings = uvicorn.Config(
            make_app(view),
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            limit_concurrency=_CONNECTIONS,
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._run, name="admin-http", daemon=True)

    def start(self) -> None:
        """Return once requests are answered.

        Raises:
            RuntimeError: it did not come up; the log has the reason.
        """
        self._thread.start()
        deadline_s = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline_s:
                raise RuntimeError(f"--http: the admin side did not start on {self.endpoint}")
            time.sleep(0.005)

    def stop(self) -> None:
        """Finish what is being answered, then end the thread."""
        self._server.should_exit = True
        self._thread.join()
        for listener in self._sockets:
            listener.close()

    def _run(self) -> None:
        self._server.run(sockets=self._sockets)
