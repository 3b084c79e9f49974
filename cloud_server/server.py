"""The parts put together: ports, health, drain.

start: open bundles -> start lanes -> bind -> health SERVING
drain: health NOT_SERVING -> no new calls, no new frames -> everything taken is answered -> close
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import grpc

from siftfunnel import __version__
from siftfunnel.cloud_server.catalogue import SLACK_BYTES, Catalogue, open_catalogue
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.health import HealthServicer
from siftfunnel.cloud_server.metrics import Metrics
from siftfunnel.cloud_server.oip import SERVICE as OIP_SERVICE
from siftfunnel.cloud_server.oip.core import OpenInference
from siftfunnel.cloud_server.oip.grpc_service import OpenInferenceService
from siftfunnel.cloud_server.oip.models import most_request_bytes
from siftfunnel.cloud_server.ports import ListenError, listening_sockets, server_options
from siftfunnel.cloud_server.process import allow_open_files
from siftfunnel.cloud_server.recorder import FlowRecorder
from siftfunnel.cloud_server.repository import Repository
from siftfunnel.cloud_server.service import SERVICE, SplitInferenceService
from siftfunnel.cloud_server.supervisor import UNSUPERVISED, Supervisor
from siftfunnel.cloud_server.ticket import Owner
from siftfunnel.shared.access import known_clients
from siftfunnel.shared.ports import Endpoint

if TYPE_CHECKING:
    from siftfunnel.cloud_server.admin import State
    from siftfunnel.cloud_server.http_server import HttpServer

_log = logging.getLogger(__name__)

Opener = Callable[[CloudConfig, Metrics, Callable[[Iterable[Owner]], None]], Catalogue]
"""Opens bundles; its last argument wakes the owners of frames that are answered."""

_HEARTBEAT_S = 0.5
_STALLED_S = 5.0
_POLL_S = 0.01
_FLUSH_S = 1.0


@dataclass(frozen=True)
class Addresses:
    """Where a server can be reached; a part that is not served is None."""

    grpc: Endpoint | None
    grpc_tls: Endpoint | None
    http: Endpoint | None
    oip_http: Endpoint | None = None


class CloudServer:
    """One server process's worth of service; start it inside a running event loop.

    Args:
        config: everything it is told.
        open_bundles: opens what it serves; a bench serves the same bundles to clients that send pictures.
        supervisor: is told how the server is.

    Example:
        ```
        async with CloudServer(config) as server:
            print(server.addresses.grpc)
        ```
    """

    def __init__(
        self,
        config: CloudConfig,
        open_bundles: Opener = open_catalogue,
        supervisor: Supervisor = UNSUPERVISED,
    ) -> None:
        self._config = config
        self._open_bundles = open_bundles
        self.metrics = Metrics()
        self._draining = False
        self._trouble: str | None = None
        self._beat_s = time.monotonic()
        self._supervisor = supervisor

    async def __aenter__(self) -> "CloudServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain()

    async def start(self) -> None:
        """Open the bundles and serve.

        Raises:
            BundleError: a bundle fails its checks.
            ListenError: an address cannot be listened on.
            RecordError: the file for flows cannot be written.
        """
        self._loop = asyncio.get_running_loop()
        # warming up runs the models, and some engines refuse to be waited for on an event loop
        self._catalogue = await asyncio.to_thread(self._open_bundles, self._config, self.metrics, self._wake)
        self._recorder = self._open_recorder()
        self._clients = known_clients(self._config.clients, self._config.token)
        self._service = SplitInferenceService(
            self._catalogue,
            self.metrics,
            self._config.window_frames,
            __version__,
            self._recorder,
            self._config.ceilings,
            self._config.max_output_bytes,
            lambda: self._clients.clients,
        )
        self.repository = Repository(self._catalogue, self._config, self.metrics, self._wake, self._service)
        self._oip = OpenInference(
            self._catalogue,
            self._service,
            self.repository,
            self._config,
            __version__,
            lambda: self.state() == "serving",
        )
        self._health = HealthServicer((SERVICE, OIP_SERVICE))
        self._server = self._make_server()
        try:
            plain = self._bind(self._config.listen, "--listen", tls=False)
            over_tls = self._bind(self._config.tls_listen, "--tls-listen", tls=True)
            self._admin = self._make_admin()
            self._oip_http = self._make_oip_http()
        except ListenError:
            if self._recorder is not None:
                self._recorder.close()
            raise
        for served in self._catalogue:
            served.lane.start()
        await self._server.start()
        self._tasks = [self._loop.create_task(self._beat())]
        if self._config.watch_models:
            self._tasks.append(self._loop.create_task(self.repository.follow()))
        for http in self._http_servers():
            http.start()
        self.addresses = Addresses(
            plain,
            over_tls,
            None if self._admin is None else self._admin.endpoint,
            None if self._oip_http is None else self._oip_http.endpoint,
        )
        self._say_serving(True)
        for served in self._catalogue:
            _log.info("serving %s, digest %s", served.label, served.bundle.digest)
        self._supervisor.ready(f"serving {', '.join(served.label for served in self._catalogue)}")

    @property
    def catalogue(self) -> Catalogue:
        """What is served."""
        return self._catalogue

    async def drain(self) -> bool:
        """Answer everything that was taken, then stop.

        New calls are refused with UNAVAILABLE, open streams take no more frames and end with UNAVAILABLE when
        their last frame is answered, so that a client knows to send the rest elsewhere. What is unanswered
        after `drain_s` gets UNAVAILABLE per frame. Answers that clients do not take are left behind then.

        Returns:
            Whether every frame taken was answered in time.
        """
        self._draining = True
        self._supervisor.stopping()
        self._say_serving(False)
        self._service.drain()
        await self._calls_end(self._config.drain_s)
        unanswered = self._service.unanswered
        if calls := self._service.calls_open:
            _log.warning(
                "%d calls still open after %g s: %d frames without an answer; %d answers of streams and "
                "those of other calls not taken by their clients",
                calls,
                self._config.drain_s,
                unanswered,
                self._service.unread,
            )
        await asyncio.to_thread(self._close_lanes)
        await self._calls_end(_FLUSH_S)
        self._health.close()
        await self._server.stop(grace=_FLUSH_S)
        for task in self._tasks:
            task.cancel()
        for http in self._http_servers():
            await asyncio.to_thread(http.stop)
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)
        return not unanswered

    def state(self) -> "State":
        """What the server is doing, as `/healthz` tells it; may be asked from any thread."""
        if self._draining:
            return "draining"
        stuck = self._trouble is not None or time.monotonic() - self._beat_s > _STALLED_S
        return "stalled" if stuck else "serving"

    async def _calls_end(self, patience_s: float) -> None:
        deadline_s = time.monotonic() + patience_s
        while self._service.calls_open and time.monotonic() < deadline_s:
            await asyncio.sleep(_POLL_S)

    def _close_lanes(self) -> None:
        for served in self._catalogue:
            served.lane.close(_FLUSH_S)

    def _wake(self, owners: Iterable[Owner]) -> None:
        """Called by the lanes' threads."""
        # A batch that was abandoned may end after the loop has: nobody is left to wake.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_wake_all, owners)

    async def _beat(self) -> None:
        while True:
            self._beat_s = time.monotonic()
            self._watch_workers()
            if self._clients.refresh():
                self._service.end_changed()
            if self._trouble is None:
                self._supervisor.alive()
            await asyncio.sleep(_HEARTBEAT_S)

    def _watch_workers(self) -> None:
        """Say NOT_SERVING while a worker hangs or is gone, and SERVING again when it is back."""
        troubles = [served.lane.trouble(self._config.stall_s) for served in self._catalogue]
        trouble = "; ".join(filter(None, troubles)) or None
        if self._draining or (trouble is None) == (self._trouble is None):
            return
        self._trouble = trouble
        self._say_serving(trouble is None)
        if trouble is None:
            _log.warning("serving again")
        else:
            _log.error("not serving: %s", trouble)
        self._supervisor.status("serving again" if trouble is None else f"not serving: {trouble}")

    def _say_serving(self, serving: bool) -> None:
        self._health.set_serving(serving)
        self.metrics.ready.set(serving)

    def _open_recorder(self) -> FlowRecorder | None:
        if self._config.record is None:
            return None
        metrics = self.metrics
        return FlowRecorder(
            self._config.record,
            on_written=metrics.recorded.inc,
            on_dropped=lambda reason, count: metrics.record_drops.labels(reason).inc(count),
        )

    def _make_server(self) -> grpc.aio.Server:
        ceilings = self._config.ceilings
        connections = allow_open_files(ceilings.connections)
        if connections < ceilings.connections:
            _log.warning(
                "%d connections at once, not %d: this process may open no more files (ulimit -n)",
                connections,
                ceilings.connections,
            )
        options = server_options(ceilings, connections, self._most_bytes(), self._config.compression)
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((self._service.handler(), OpenInferenceService(self._oip).handler()))
        self._health.register(server)
        if self._config.reflection:
            _add_reflection(server)
        return server

    def _bind(self, endpoint: Endpoint | None, flag: str, tls: bool) -> Endpoint | None:
        if endpoint is None:
            return None
        # grpc tells neither its caller nor the user why it cannot bind; a socket of our own does.
        for probe in listening_sockets(endpoint, flag):
            probe.close()
        try:
            if tls:
                assert self._config.tls is not None
                for problem in self._config.tls.untimely():
                    _log.warning(
                        "%s (it is served all the same, and a renewed one without a restart)", problem
                    )
                port = self._server.add_secure_port(str(endpoint), self._config.tls.server_credentials())
            else:
                port = self._server.add_insecure_port(str(endpoint))
        except RuntimeError as error:
            raise ListenError(f"{flag} {endpoint}: {error}") from None
        return endpoint.with_port(port)

    def _most_bytes(self) -> int:
        """The largest message: a payload, or an Open Inference request with plain features."""
        batch = self._config.batching.max_batch_size
        plain = max(most_request_bytes(served, batch) for served in self._catalogue)
        return max(self._catalogue.max_message_bytes, plain + SLACK_BYTES)

    def _http_servers(self) -> "list[HttpServer]":
        return [server for server in (self._oip_http, self._admin) if server is not None]

    def _make_oip_http(self) -> "HttpServer | None":
        if self._config.oip_http is None:
            return None
        from siftfunnel.cloud_server.http_server import HttpServer
        from siftfunnel.cloud_server.oip.rest import make_app

        app = make_app(self._oip, self._loop, self._most_bytes(), self._config.compression)
        return HttpServer(self._config.oip_http, app, "--oip-http")

    def _make_admin(self) -> "HttpServer | None":
        if self._config.http is None:
            return None
        # HTTP costs a part of every start; only who asks for it pays.
        from siftfunnel.cloud_server.admin import AdminView, make_app
        from siftfunnel.cloud_server.http_server import HttpServer

        view = AdminView(
            state=self.state,
            bundles=lambda: [served.summary() for served in self._catalogue],
            metrics=self.metrics.exposition,
            refusal=self._service.refuses_administration,
        )
        return HttpServer(self._config.http, make_app(view), "--http")


async def serve(
    config: CloudConfig,
    stop: asyncio.Event,
    on_ready: Callable[[CloudServer], None],
    open_bundles: Opener = open_catalogue,
    supervisor: Supervisor = UNSUPERVISED,
) -> bool:
    """Serve until told to stop, then drain.

    Args:
        config: everything the server is told.
        stop: set it to stop.
        on_ready: called once, when requests are answered.
        open_bundles: see `CloudServer`.
        supervisor: likewise.

    Returns:
        Whether every frame taken was answered within the configured time.
    """
    server = CloudServer(config, open_bundles, supervisor)
    await server.start()
    on_ready(server)
    await stop.wait()
    _log.info("draining: answering what is under way, for at most %g s", config.drain_s)
    return await server.drain()


def _wake_all(owners: Iterable[Owner]) -> None:
    for owner in owners:
        owner.wake()


def _add_reflection(server: grpc.aio.Server) -> None:
    from grpc_health.v1 import health
    from grpc_reflection.v1alpha import reflection

    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
