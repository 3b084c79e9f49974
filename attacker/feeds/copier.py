"""A transparent TCP relay: one thread, one selector, bytes passed on before anything else is done with them.

Each connection is two one-way pipes. A pipe reads only when it has nothing left to write, so a slow receiver
slows its own sender through TCP's window and nobody else; the end of one direction is passed on without
ending the other.
"""

import contextlib
import errno
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable

from siftfunnel.attacker.feeds.config import Endpoint
from siftfunnel.attacker.feeds.spool import Chunk, Closed, Opened, SpoolItem
from siftfunnel.attacker.tap.events import Direction, FeedError
from siftfunnel.shared.ports import why_not_listening

_CHUNK_BYTES = 1 << 18
_CONNECT_TIMEOUT_S = 10.0
_MAX_CONNECTING = 256
_LATENCY_SAMPLES = 8192
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Pipe:
    """One direction of one connection."""

    def __init__(self, direction: Direction, source: socket.socket, sink: socket.socket) -> None:
        self.direction = direction
        self.source = source
        self.sink = sink
        self.pending = memoryview(b"")
        self.pending_since_ns = 0
        self.source_ended = False
        self.sink_ended = False


class Link:
    """Both directions of one connection."""

    def __init__(self, number: int, client: socket.socket, server: socket.socket) -> None:
        self.number = number
        self.client = client
        self.server = server
        self.pipes = (Pipe("up", client, server), Pipe("down", server, client))

    def pipe_from(self, source: socket.socket) -> Pipe:
        """The pipe that reads from a socket."""
        return self.pipes[0] if source is self.client else self.pipes[1]

    def pipe_into(self, sink: socket.socket) -> Pipe:
        """The pipe that writes to a socket."""
        return self.pipes[1] if sink is self.client else self.pipes[0]


class Copier:
    """Accepts at `listen`, connects to `target`, copies. `tee` gets what passed, after it has passed on.

    `tee` must not block. `refused` is the latest reason why a client could not be served.
    """

    def __init__(self, listen: Endpoint, target: Endpoint, tee: Callable[[SpoolItem], None]) -> None:
        self._listen = listen
        self._target = target
        self._tee = tee
        self._selector = selectors.DefaultSelector()
        self._wake_read: socket.socket | None = None
        self._wake_write: socket.socket | None = None
        self._connected: deque[tuple[socket.socket, socket.socket | None]] = deque()
        self._links: dict[int, Link] = {}
        self._links_made = 0
        self._connecting = 0
        self._accepting_paused = False
        self._stopping = False
        self._listener: socket.socket | None = None
        self._received = memoryview(bytearray(_CHUNK_BYTES))
        self.bytes_copied = 0
        self.refused = ""
        self.latencies_us: deque[float] = deque(maxlen=_LATENCY_SAMPLES)

    def bind(self) -> Endpoint:
        """Take the listening address; the one really taken.

        Raises:
            FeedError: it is in use, not permitted, or not of this machine.
        """
        host, port = self._listen.host, self._listen.port
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            # A name such as localhost stands for both families; clients that try one only try IPv4.
            family, kind, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
            listener = socket.socket(family, kind)
        except OSError as error:
            raise self._cannot_listen(error) from None
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(128)
        except OSError as error:
            listener.close()
            raise self._cannot_listen(error) from None
        listener.setblocking(False)
        self._listener = listener
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        return Endpoint(host, int(listener.getsockname()[1]))

    def _cannot_listen(self, error: OSError) -> FeedError:
        return FeedError(f"the relay cannot listen at {self._listen}: {why_not_listening(error)}")

    def stop(self) -> None:
        """Make `run` close every connection and return; from any thread."""
        self._stopping = True
        self._wake()

    def run(self) -> None:
        """Copy until stopped."""
        assert self._listener is not None
        assert self._wake_read is not None, "bind first"
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        try:
            while not self._stopping:
                for key, mask in self._selector.select():
                    self._serve(key, mask, time.perf_counter_ns())
        finally:
            self._close_all()

    def _serve(self, key: selectors.SelectorKey, mask: int, ready_ns: int) -> None:
        if key.fileobj is self._listener:
            self._accept()
        elif not isinstance(key.fileobj, socket.socket):
            return
        elif key.data is None:
            with contextlib.suppress(OSError):
                key.fileobj.recv(4096)
            self._take_connected()
        elif key.data.number in self._links:
            self._move(key.data, key.fileobj, mask, ready_ns)

    # -- connections ----------------------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self._pause_accepting(error)
            return
        if self._connecting >= _MAX_CONNECTING:
            self._refuse(client, f"{_MAX_CONNECTING} clients wait for the target already")
            return
        self._connecting += 1
        # Name lookup and connecting may take long: not on the thread that copies.
        threading.Thread(target=self._connect, args=(client,), name="relay-connect", daemon=True).start()

    def _pause_accepting(self, error: OSError) -> None:
        """Out of file descriptors: wait for a connection to end rather than be woken without end."""
        assert self._listener is not None
        self.refused = f"cannot accept more connections: {error.strerror}; raise the limit on open files"
        if error.errno in (errno.EMFILE, errno.ENFILE) and self._links:
            self._selector.unregister(self._listener)
            self._accepting_paused = True

    def _refuse(self, client: socket.socket, reason: str) -> None:
        self.refused = reason
        _reset(client)

    def _connect(self, client: socket.socket) -> None:
        server = None
        try:
            server = socket.create_connection((self._target.host, self._target.port), _CONNECT_TIMEOUT_S)
        except OSError as error:
            self.refused = f"cannot reach the target {self._target}: {error}; is it running?"
        if self._stopping:
            _reset(client)
            if server is not None:
                _reset(server)
            return
        self._connected.append((client, server))
        self._wake()

    def _take_connected(self) -> None:
        while self._connected:
            client, server = self._connected.popleft()
            self._connecting -= 1
            if server is None:
                _reset(client)
            else:
                self._begin(client, server)

    def _begin(self, client: socket.socket, server: socket.socket) -> None:
        self.refused = ""
        try:
            client_name, server_name = _name(client.getpeername()), _name(server.getpeername())
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                side.setblocking(False)
        except OSError:
            _reset(client)
            _reset(server)
            return
        self._links_made += 1
        link = self._links[self._links_made] = Link(self._links_made, client, server)
        self._tee(Opened(link.number, time.time(), client_name, server_name))
        self._watch(link)

    def _close(self, link: Link, how: str) -> None:
        for side in (link.client, link.server):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(side)
            if how == "closed":
                side.close()
            else:
                _reset(side)
        del self._links[link.number]
        if self._accepting_paused and self._listener is not None:
            self._accepting_paused = False
            self._selector.register(self._listener, selectors.EVENT_READ)
        self._tee(Closed(link.number, time.time(), how))

    def _close_all(self) -> None:
        for link in list(self._links.values()):
            self._close(link, "the tap stopped")
        self._take_connected()
        for link in list(self._links.values()):
            self._close(link, "the tap stopped")
        self._selector.close()
        for made in (self._listener, self._wake_read, self._wake_write):
            if made is not None:
                made.close()

    # -- bytes ----------------------------------------------------------------------------------------------

    def _move(self, link: Link, side: socket.socket, mask: int, ready_ns: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                self._flush(link.pipe_into(side))
            if mask & selectors.EVENT_READ:
                self._read(link, link.pipe_from(side), ready_ns)
        except OSError as error:
            self._close(link, f"reset ({error.strerror or error})")
            return
        if all(pipe.sink_ended for pipe in link.pipes):
            self._close(link, "closed")
        else:
            self._watch(link)

    def _read(self, link: Link, pipe: Pipe, ready_ns: int) -> None:
        if pipe.pending or pipe.source_ended:
            return
        try:
            received = pipe.source.recv_into(self._received)
        except BlockingIOError:
            return
        # A copy of its own size: a large buffer cut short would keep far more memory than its bytes.
        data = bytes(self._received[:received])
        if not data:
            pipe.source_ended = True
        pipe.pending, pipe.pending_since_ns = memoryview(data), ready_ns
        self._flush(pipe)
        if data:
            self.bytes_copied += len(data)
            self._tee(Chunk(link.number, time.time(), pipe.direction, data))

    def _flush(self, pipe: Pipe) -> None:
        if pipe.pending:
            try:
                sent = pipe.sink.send(pipe.pending)
            except BlockingIOError:
                return
            pipe.pending = pipe.pending[sent:]
            if not pipe.pending:
                self.latencies_us.append((time.perf_counter_ns() - pipe.pending_since_ns) / 1000)
        if pipe.source_ended and not pipe.pending and not pipe.sink_ended:
            pipe.sink_ended = True
            pipe.sink.shutdown(socket.SHUT_WR)

    def _watch(self, link: Link) -> None:
        for side in (link.client, link.server):
            reading, writing = link.pipe_from(side), link.pipe_into(side)
            mask = 0
            if not reading.pending and not reading.source_ended:
                mask |= selectors.EVENT_READ
            if writing.pending:
                mask |= selectors.EVENT_WRITE
            self._set_mask(link, side, mask)

    def _set_mask(self, link: Link, side: socket.socket, mask: int) -> None:
        known = self._selector.get_map().get(side)
        if known is None and mask:
            self._selector.register(side, mask, link)
        elif known is not None and not mask:
            self._selector.unregister(side)
        elif known is not None and known.events != mask:
            self._selector.modify(side, mask, link)

    def _wake(self) -> None:
        if self._wake_write is not None:
            with contextlib.suppress(OSError):
                self._wake_write.send(b"\0")


def _reset(side: socket.socket) -> None:
    """Close at once, so that the other end sees a reset rather than an orderly end."""
    with contextlib.suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    side.close()


def _name(address: tuple[object, ...]) -> str:
    return str(Endpoint(str(address[0]), int(str(address[1]))))
