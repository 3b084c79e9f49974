"""The admin side over HTTP: health, bundles, metrics.

It runs in a thread of its own (`HttpServer`): `/healthz` can still answer, and say so, when the streams' loop
is stuck.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from siftfunnel.cloud_server.callers import Refusal
from siftfunnel.cloud_server.http_server import HttpCall, error_response

State = Literal["serving", "draining", "stalled"]


@dataclass(frozen=True)
class AdminView:
    """What the admin side may see of the server; called from its thread.

    Attributes:
        state: what the server is doing.
        bundles: one JSON object per bundle.
        metrics: Prometheus text.
        refusal: why a call may not see bundles and metrics, or None; everyone may where it is left out.
    """

    state: Callable[[], State]
    bundles: Callable[[], list[dict[str, Any]]]
    metrics: Callable[[], bytes]
    refusal: Callable[[HttpCall], Refusal | None] = lambda call: None


def make_app(view: AdminView) -> Starlette:
    """The admin application, for GET and HEAD; every route reads and none changes anything."""

    async def healthz(request: Request) -> Response:
        state = view.state()
        return JSONResponse({"status": state}, status_code=200 if state == "serving" else 503)

    async def bundles(request: Request) -> Response:
        return JSONResponse(view.bundles())

    async def metrics(request: Request) -> Response:
        return Response(view.metrics(), headers={"content-type": CONTENT_TYPE_LATEST})

    def guarded(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer_if_allowed(request: Request) -> Response:
            refused = view.refusal(HttpCall(request))
            return (
                await answer(request) if refused is None else error_response(refused.status, refused.message)
            )

        return answer_if_allowed

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/bundles", guarded(bundles)),
            Route("/metrics", guarded(metrics)),
        ]
    )
