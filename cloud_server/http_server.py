"""An HTTP application in a thread with an event loop of its own.

A slow client or scrape then costs the streams no turn of their loop.
"""

import threading
import time
from typing import Any

import uvicorn

from siftfunnel.cloud_server.ports import listening_sockets
from siftfunnel.shared.ports import Endpoint

_START_S = 10.0
_CONNECTIONS = 256
"""Those over this many are told 503 at once: nobody may hold all memory."""


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
