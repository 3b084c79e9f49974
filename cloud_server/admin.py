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
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from cloud_server.config import Endpoint
from cloud_server.ports import listening_socket

State = Literal["serving", "draining", "stalled"]

_START_S = 10.0


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


def make_app(view: AdminView) -> FastAPI:
    """The admin application; every route reads and none changes anything."""
    app = FastAPI(title="siftfunnel cloud", openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        state = view.state()
        return JSONResponse({"status": state}, status_code=200 if state == "serving" else 503)

    @app.get("/bundles")
    async def bundles() -> list[dict[str, Any]]:
        return view.bundles()

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(view.metrics(), headers={"content-type": CONTENT_TYPE_LATEST})

    return app


class AdminServer:
    """Serves the admin application from a thread.

    Args:
        endpoint: where to listen.
        view: what to show.

    Raises:
        ListenError: the address cannot be listened on.
    """

    def __init__(self, endpoint: Endpoint, view: AdminView) -> None:
        self._socket = listening_socket(endpoint, "--http")
        self.endpoint = endpoint.with_port(self._socket.getsockname()[1])
        settings = uvicorn.Config(
            make_app(view), http="h11", ws="none", lifespan="off", access_log=False, log_config=None
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
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
