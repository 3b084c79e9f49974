"""An HTTP application in a thread with an event loop of its own, and its requests as calls.

A slow client or scrape then costs the streams no turn of their loop.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse

from siftfunnel.cloud_server.ports import listening_sockets
from siftfunnel.shared.access import SCHEME
from siftfunnel.shared.ports import Endpoint

_START_S = 10.0
_CONNECTIONS = 256
"""Those over this many are told 503 at once: nobody may hold all memory."""

_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNIMPLEMENTED: 501,
}


def error_response(status: grpc.StatusCode, message: str) -> JSONResponse:
    """An error as JSON, with the status of HTTP that stands for one of gRPC."""
    challenge = {"WWW-Authenticate": SCHEME} if status is grpc.StatusCode.UNAUTHENTICATED else None
    return JSONResponse({"error": message}, _HTTP.get(status, 500), challenge)


class HttpCall:
    """What stands for a call's context: who calls, what came beside the request, and when it is over."""

    def __init__(self, request: Request) -> None:
        client = request.client
        host = client.host if client else "unknown"
        self._peer = (
            f"ipv6:[{host}]:{client.port}"
            if client and ":" in host
            else f"ipv4:{host}:{client and client.port}"
        )
        self._metadata = tuple(request.headers.items())
        self._done: list[Callable[[Any], None]] = []

    def peer(self) -> str:
        """As gRPC writes it."""
        return self._peer

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """The headers."""
        return self._metadata

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Called once the request is over."""
        self._done.append(callback)

    def close(self) -> None:
        """The request is over."""
        for callback in self._done:
            callback(self)


class HttpServer:
    """Serves an application from a thread.

    Args:
        endpoint: where to listen.
        app: of ASGI.
        flag: that gave the address, for messages.

    Raises:
        ListenError: the address cannot be listened on.
    """

    def __init__(self, endpoint: Endpoint, app: Any, flag: str) -> None:
        self._sockets = listening_sockets(endpoint, flag)
        self._flag = flag
        self.endpoint = endpoint.with_port(self._sockets[0].getsockname()[1])
        settings = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            limit_concurrency=_CONNECTIONS,
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._run, name=f"{flag.strip('-')}-http", daemon=True)

    def start(self) -> None:
        """Return once requests are answered.

        Raises:
            RuntimeError: it did not come up; the log has the reason.
        """
        self._thread.start()
        deadline_s = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline_s:
                raise RuntimeError(f"{self._flag}: HTTP did not start on {self.endpoint}")
            time.sleep(0.005)

    def stop(self) -> None:
        """Finish what is being answered, then end the thread."""
        self._server.should_exit = True
        self._thread.join()
        for listener in self._sockets:
            listener.close()

    def _run(self) -> None:
        self._server.run(sockets=self._sockets)
