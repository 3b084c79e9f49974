"""The admin side over HTTP: health, bundles, metrics.

It runs in a thread of its own (`HttpServer`): `/healthz` can still answer, and say so, when the streams' loop
is stuck.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

State = Literal["serving", "draining", "stalled"]


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
