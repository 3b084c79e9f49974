"""One attacker process from its configuration to its end: feeds, pipeline, HTTP."""

import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from siftfunnel.attacker.config import AttackerConfig
from siftfunnel.attacker.feeds.config import CloudConfig, PcapConfig, RelayConfig, SniffConfig, TapConfig
from siftfunnel.attacker.feeds.recorder import Recorder
from siftfunnel.attacker.inversion import Reconstructor
from siftfunnel.attacker.pipeline import Pipeline
from siftfunnel.attacker.preview import PreviewClient
from siftfunnel.attacker.tap.events import Feed, FeedError, Settle
from siftfunnel.attacker.targets import Targets, gather
from siftfunnel.attacker.web.app import Face, make_app
from siftfunnel.attacker.web.hub import Hub
from siftfunnel.shared.ports import Endpoint, why_not_listening

DRAIN_S = 3
MAX_CONNECTIONS = 256
REQUEST_WAIT_S = 10.0
TICKS_PER_S = 10  # of uvicorn
# What the kernel holds for a slow reader is what an event stream lags behind by.
SEND_BUFFER_BYTES = 64 * 1024

Announce = Callable[[Mapping[str, Any]], None]


class AddressError(OSError):
    """The page's address cannot be listened on; the text names the flag and says what to do."""


class RecordError(OSError):
    """The record cannot be written; the text names the flag."""


def serve(
    config: AttackerConfig, announce: Announce, reconstructors: Mapping[str, Reconstructor] | None = None
) -> int:
    """Run until SIGTERM or Ctrl-C; 0 when it ended as asked.

    Args:
        config: what to do.
        announce: called once everything listens, with what the ready line says.
        reconstructors: attacks by bundle digest, instead of inverters.

    Raises:
        ValueError: bad input.
        FeedError: a tap cannot start, or none is left: whoever supervises this process starts it again, in a
            network that is there.
        AddressError: the page's address is taken or not ours.
    """
    targets = gather(config.bundles, config.inverters, reconstructors)
    for problem in targets.problems:
        print(f"attacker: {problem}", file=sys.stderr)
    hub = Hub()
    with ExitStack() as stack:
        listener = stack.enter_context(listen(config.http))
        recorder = None
        if config.record is not None:
            recorder = stack.enter_context(recording(config.record, config.retention_mb))
        feeds = name_feeds(config.taps, lambda tap: open_feed(tap, targets.settle))
        camera = PreviewClient(config.preview) if config.preview else None
        pipeline = Pipeline(targets, feeds, hub.publish, camera, recorder=recorder)
        pipeline.start()
        stack.callback(pipeline.stop)
        face = Face(targets, hub, pipeline.summary, config.control, config.page_names, config.page_token)
        _serve_page(face, listener, announce, feeds)
        if reason := deafness(feeds):
            raise FeedError(f"no tap is left to listen with: {reason}")
    return 0


def _serve_page(face: Face, listener: socket.socket, announce: Announce, feeds: Mapping[str, Feed]) -> None:
    server = _Server(
        uvicorn.Config(
            make_app(face),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=DRAIN_S,
            ws="none",
            limit_concurrency=2 * MAX_CONNECTIONS,
        ),
        face.hub,
        lambda: announce(ready_line(listener, feeds, face.targets)),
        lambda: deafness(feeds) is not None,
    )
    server.run(sockets=[listener])


class SilentConnections:
    """Finds connections that ask for nothing and hold a place: uvicorn waits for a request for ever."""

    def __init__(self) -> None:
        self._since_s: dict[Any, float] = {}

    def to_close(self, connections: Iterable[Any], now_s: float) -> list[Any]:
        """Those that have been silent for too long, and the longest silent ones of too many.

        Args:
            connections: uvicorn's protocols; `cycle` is a request and its answer, None before the first one.
            now_s: the time, on a steady clock.
        """
        all_of_them = list(connections)
        silent = [each for each in all_of_them if each.cycle is None or each.cycle.response_complete]
        self._since_s = {each: self._since_s.get(each, now_s) for each in silent}
        silent.sort(key=self._since_s.__getitem__)
        surplus = max(0, len(all_of_them) - MAX_CONNECTIONS)
        late = [each for each in silent[surplus:] if now_s - self._since_s[each] > REQUEST_WAIT_S]
        return silent[:surplus] + late


class _Server(uvicorn.Server):
    """Says when it is ready, ends with its last tap, and ends event streams before it waits for their end."""

    def __init__(
        self, config: uvicorn.Config, hub: Hub, on_ready: Callable[[], None], is_deaf: Callable[[], bool]
    ) -> None:
        super().__init__(config)
        self._hub, self._on_ready, self._is_deaf = hub, on_ready, is_deaf
        self._silent = SilentConnections()

    async def on_tick(self, counter: int) -> bool:
        for connection in self._silent.to_close(self.server_state.connections, time.monotonic()):
            connection.transport.close()
        return await super().on_tick(counter) or (counter % TICKS_PER_S == 0 and self._is_deaf())

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGTERM and Ctrl-C, and do not, as uvicorn does, die of the same signal afterwards."""
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hub.close()
        await super().shutdown(sockets)


def deafness(feeds: Mapping[str, Feed]) -> str | None:
    """What the taps say where every one has failed for good; None while one may still hear something."""
    states = [feed.state() for feed in feeds.values()]
    if any(state.phase != "failed" for state in states):
        return None
    return "; ".join(f"{state.tap}: {state.detail}" for state in states)


def listen(endpoint: Endpoint) -> socket.socket:
    """A listening socket for the page.

    Raises:
        AddressError: with what to do.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise AddressError(f"--http: no host {endpoint.host!r}: {error.strerror}") from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.bind(address)
        listener.listen(128)
        listener.set_inheritable(True)
    except OSError as error:
        listener.close()
        raise AddressError(f"--http {endpoint}: {why_not_listening(error)}") from error
    return listener


@contextmanager
def recording(path: Path, retention_mb: float) -> Iterator[Recorder]:
    """A recorder for as long as the context lasts; says at its end what was not recorded.

    Raises:
        RecordError: the file cannot be opened.
    """
    try:
        recorder = Recorder(path, max(2, int(retention_mb * 1_000_000)))
    except OSError as error:
        raise RecordError(f"cannot write the record (--record-flows {path}): {error.strerror}") from error
    try:
        yield recorder
    finally:
        recorder.close()
        if recorder.messages_lost:
            print(
                f"attacker: {recorder.messages_lost} messages not recorded. {recorder.problem}",
                file=sys.stderr,
            )


def open_feed(config: TapConfig, settle: Settle | None = None) -> Feed:
    """The feed for `config`, not yet started; `settle` tells the bundle of a connection joined midway.

    The kinds are imported when used: packets need a parser of their own.
    """
    if isinstance(config, RelayConfig):
        from siftfunnel.attacker.feeds.relay import RelayFeed

        return RelayFeed(config, settle)
    if isinstance(config, PcapConfig):
        from siftfunnel.attacker.feeds.captured import PcapFeed

        return PcapFeed(config, settle)
    if isinstance(config, CloudConfig):
        from siftfunnel.attacker.feeds.cloud import CloudFeed

        return CloudFeed(config, settle)
    from siftfunnel.attacker.feeds.captured import SniffFeed

    assert isinstance(config, SniffConfig)
    return SniffFeed(config, settle)


def name_feeds(taps: tuple[TapConfig, ...], open_one: Callable[[TapConfig], Feed]) -> dict[str, Feed]:
    """Feeds by the name that page and summary use: the tap's text form.

    Raises:
        ValueError: the same tap twice.
    """
    feeds: dict[str, Feed] = {}
    for tap in taps:
        if str(tap) in feeds and not str(tap).startswith("relay:"):
            raise ValueError(f"--tap {tap} was given twice")
        name = str(tap) if str(tap) not in feeds else f"{tap} ({len(feeds) + 1})"
        feeds[name] = open_one(tap)
    return feeds


def ready_line(listener: socket.socket, feeds: Mapping[str, Feed], targets: Targets) -> dict[str, Any]:
    """What the process says once it is ready: addresses with real ports, taps, bundles."""
    return {
        "ready": True,
        "http": str(Endpoint(*listener.getsockname()[:2])),
        "taps": [
            {"tap": name, "kind": state.kind, "address": state.address, "phase": state.phase}
            for name, state in ((name, feed.state()) for name, feed in feeds.items())
        ],
        "bundles": {target.name: target.bundle.digest for target in targets},
        "inverters": [target.name for target in targets if target.reconstructor is not None],
    }
