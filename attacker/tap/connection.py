"""One overheard TCP connection: bytes of both directions in, events out. No socket, no clock, no thread.

    bytes --FrameStream--> HTTP/2 frames --HeaderReader--> calls --MessageReader--> gRPC messages -->
    Overheard
                           TLS records   ---------------------------------------------------------> Opaque

Whatever the bytes are, nothing here raises and memory stays within `TapLimits`.
"""

from collections.abc import Callable

from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PushPromiseFrame, RstStreamFrame

from siftfunnel.attacker.tap import boundaries
from siftfunnel.attacker.tap.calls import Call, CallTable
from siftfunnel.attacker.tap.events import (
    ConnectionClosed,
    ConnectionOpened,
    Direction,
    Dropped,
    DropUnit,
    Event,
    Opaque,
    Overheard,
    Settle,
    Traffic,
    other_way,
)
from siftfunnel.attacker.tap.framing import (
    FrameSeen,
    FrameSkipped,
    FrameStream,
    Item,
    OutOfStep,
    RecordSeen,
    Unread,
)
from siftfunnel.attacker.tap.header_blocks import HeaderBlock, HeaderReader
from siftfunnel.attacker.tap.limits import TapLimits
from siftfunnel.attacker.tap.messages import Message, MessageSkipped

_HEADER_FRAMES = (HeadersFrame, ContinuationFrame, PushPromiseFrame)
_HEADER_KINDS = (boundaries.HEADERS, boundaries.CONTINUATION, boundaries.PUSH_PROMISE)

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23

# A TLS 1.3 client sends only ClientHello in the clear, twice at most; TLS 1.2 adds key exchange and Finished.
_CLEAR_CLIENT_RECORDS_IN_TLS13 = 2


class ConnectionTap:
    """Understands one connection.

    `receive`, `lose` and `close` return what they brought to light, in order. The bytes of one direction
    must come in order, each once; how they are cut does not matter. `sense` counts what only the right
    directions bring to light: requests and Frames up, responses and Replies down.
    """

    def __init__(
        self,
        connection: str,
        joined_midway: bool = False,
        settle: Settle | None = None,
        limits: TapLimits | None = None,
    ) -> None:
        limits = limits or TapLimits()
        self.connection = connection
        self._joined_midway = joined_midway
        self._settle = settle
        self._streams: dict[Direction, FrameStream] = {
            "up": FrameStream("up", joined_midway, limits.frame_bytes),
            "down": FrameStream("down", joined_midway, limits.frame_bytes),
        }
        self._headers: dict[Direction, HeaderReader] = {
            "up": HeaderReader(joined_midway, limits.header_block_bytes),
            "down": HeaderReader(joined_midway, limits.header_block_bytes),
        }
        self._calls = CallTable(limits)
        self._tls: TlsProgress | None = None
        self._handshake_bytes: int | None = None
        self._meters: dict[Direction, Meter] = {"up": Meter(), "down": Meter()}
        self._time_s = 0.0
        self._fault = ""
        self.sense = 0

    def opened(self, time_s: float, client: str, server: str) -> ConnectionOpened:
        """The event that introduces this connection."""
        return ConnectionOpened(self.connection, time_s, client, server, self._joined_midway)

    @property
    def traffic(self) -> Traffic:
        """Byte counts up to now."""
        return self._traffic("up", self._streams["up"].position)

    @property
    def buffered_bytes(self) -> int:
        """What is held back until more comes."""
        return self._calls.buffered_bytes + sum(stream.buffered_bytes for stream in self._streams.values())

    def receive(self, direction: Direction, data: bytes, time_s: float) -> list[Event]:
        """Take the next bytes of one direction."""
        self._time_s = time_s
        if self._fault:
            self._streams[direction].position += len(data)
            return [self._dropped(len(data), "bytes", self._fault)]
        elsewhere = self._streams[other_way(direction)].position
        return self._guarded(
            lambda: self._understand(direction, self._streams[direction].receive(data, elsewhere))
        )

    def lose(self, direction: Direction, byte_count: int, time_s: float, why: str) -> list[Event]:
        """Take note that the next bytes of one direction were missed; look for the next frame behind them."""
        self._time_s = time_s
        events: list[Event] = [self._dropped(byte_count, "bytes", why)]
        if self._fault:
            self._streams[direction].position += byte_count
            return events
        return events + self._guarded(
            lambda: self._understand(direction, self._streams[direction].lose(byte_count))
        )

    def close(self, time_s: float, how: str) -> list[Event]:
        """The connection is over, or the tap is; what was unfinished is accounted for."""
        self._time_s = time_s
        events = [] if self._fault else self._guarded(self._finish)
        self._calls.close()
        return [*events, ConnectionClosed(self.connection, time_s, how, self.traffic)]

    def _finish(self) -> list[Event]:
        events: list[Event] = []
        for way, stream in self._streams.items():
            events += self._understand(way, stream.close())
        return events

    def _guarded(self, step: Callable[[], list[Event]]) -> list[Event]:
        """What a step brings to light; a fault of ours ends the understanding of this connection alone."""
        try:
            return step()
        except Exception as error:  # whatever the fault is, the other connections must be heard
            self._fault = f"a fault of the tap itself ({type(error).__name__}: {error})"
            return [self._dropped(1, "connections", self._fault)]

    def _understand(self, direction: Direction, items: list[Item]) -> list[Event]:
        events: list[Event] = []
        for item in items:
            if isinstance(item, FrameSeen):
                events += self._on_frame(direction, item)
            elif isinstance(item, FrameSkipped):
                events += self._on_skipped_frame(direction, item)
            elif isinstance(item, RecordSeen):
                events.append(self._on_record(direction, item))
            elif isinstance(item, Unread):
                events.append(self._on_unread(direction, item))
            else:
                events += self._on_out_of_step(direction, item)
        return events

    # -- HTTP/2 ---------------------------------------------------------------------------------------------

    def _on_frame(self, direction: Direction, seen: FrameSeen) -> list[Event]:
        frame = seen.frame
        if isinstance(frame, DataFrame):
            return self._on_data(direction, frame, seen)
        if isinstance(frame, _HEADER_FRAMES):
            block = self._headers[direction].receive(frame)
            if isinstance(block, HeaderBlock):
                return self._on_headers(direction, block)
            return [] if block is None else [self._dropped(1, "header blocks", block)]
        if isinstance(frame, RstStreamFrame):
            self._calls.end(frame.stream_id)
        return []

    def _on_headers(self, direction: Direction, block: HeaderBlock) -> list[Event]:
        if direction == "down" and ("grpc-status" in block.fields or block.ends_stream):
            self._calls.end(block.stream_id)
            return []
        self.sense += (":path" if direction == "up" else ":status") in block.fields
        call, events = self._call(block.stream_id, in_step=direction == "up")
        call.note_headers(direction, block.fields)
        if direction == "up" or ":status" in block.fields:
            call.readers[direction].begin()
        return events

    def _on_data(self, direction: Direction, frame: DataFrame, seen: FrameSeen) -> list[Event]:
        call, events = self._call(frame.stream_id, in_step=False)
        # A padded frame has its pad length before the payload and the padding behind it.
        position = seen.start + boundaries.FRAME_HEADER_BYTES + ("PADDED" in frame.flags)
        meter = self._meters[direction]
        meter.shared_bytes += meter.advance(seen.start)
        for found in call.readers[direction].receive(frame.data, position):
            if isinstance(found, Message):
                events.append(self._overheard(direction, call, found, seen.elsewhere))
            else:
                events.append(self._skipped_message(found))
        if frame.data:  # an empty one only ends the call
            call.uncharged[direction] += meter.advance(seen.end)
        if direction == "down" and "END_STREAM" in frame.flags:
            self._calls.end(frame.stream_id)
        return events

    def _on_skipped_frame(self, direction: Direction, item: FrameSkipped) -> list[Event]:
        if item.kind in _HEADER_KINDS:
            self._headers[direction].lose_step()
            return [self._dropped(1, "header blocks", item.why)]
        if item.kind != boundaries.DATA:
            return []
        if (call := self._calls.find(item.stream_id)) is not None:
            call.readers[direction].lose_step()
        return [self._dropped(1, "messages", item.why)]

    def _on_out_of_step(self, direction: Direction, item: OutOfStep) -> list[Event]:
        self._headers[direction].lose_step()
        return [self._dropped(1, "messages", item.why) for _ in self._calls.lose_step(direction)]

    def _call(self, stream_id: int, in_step: bool) -> tuple[Call, list[Event]]:
        call, forgot = self._calls.begin(stream_id, in_step)
        events: list[Event] = []
        if forgot:
            events.append(self._dropped(1, "calls", "too many calls at once: the oldest was forgotten"))
        return call, events

    # -- messages -------------------------------------------------------------------------------------------

    def _overheard(self, direction: Direction, call: Call, message: Message, elsewhere: int) -> Overheard:
        content = message.content
        frame = content.first_frame if call.digest is None else None
        if frame is not None and self._settle is not None:
            call.digest = self._settle(frame)
            call.digest_source = "checksum" if call.digest is not None else None
        wire_bytes = self._charge(direction, call, message, elsewhere)
        return Overheard(
            connection=self.connection,
            time_s=self._time_s,
            direction=direction,
            stream_id=call.stream_id,
            kind=content.kind,
            method=call.method,
            digest=call.digest,
            digest_source=call.digest_source,
            message=message.body,
            parts=content.parts,
            wire_bytes=wire_bytes,
            traffic=self._traffic(direction, message.end),
        )

    def _charge(self, direction: Direction, call: Call, message: Message, elsewhere: int) -> int:
        """What a message took on the wire, with what was shared; 0 for what is neither Frame nor Reply."""
        own, other = self._meters[direction], self._meters[other_way(direction)]
        passed, call.uncharged[direction] = call.uncharged[direction] + own.advance(message.end), 0
        if message.content.kind == "other":
            own.shared_bytes += passed
            return 0
        self.sense += 1
        if self._handshake_bytes is None:
            other.shared_bytes += other.advance(elsewhere)
            self._handshake_bytes = own.take_shared() + other.take_shared()
        return passed + own.take_shared()

    def _skipped_message(self, skipped: MessageSkipped) -> Dropped:
        return self._dropped(1, "messages", skipped.why)

    # -- what cannot be read --------------------------------------------------------------------------------

    def _on_record(self, direction: Direction, record: RecordSeen) -> Opaque:
        if self._tls is None:
            self._tls = TlsProgress(over=self._joined_midway)
        part_of_handshake = self._tls.record(direction, record.content_type)
        traffic = self._traffic(direction, record.end)
        if part_of_handshake:
            self._handshake_bytes = traffic.total_bytes
        elif self._handshake_bytes is None:
            self._handshake_bytes = 0
        reason = "tls handshake" if part_of_handshake else "tls"
        traffic = self._traffic(direction, record.end)
        sample = record.sample if reason == "tls" else b""
        return Opaque(self.connection, self._time_s, direction, record.byte_count, reason, traffic, sample)

    def _on_unread(self, direction: Direction, item: Unread) -> Opaque:
        if item.reason == "not http2" and self._handshake_bytes is None:
            self._handshake_bytes = 0
        traffic = self._traffic(direction, item.end)
        return Opaque(self.connection, self._time_s, direction, item.byte_count, item.reason, traffic)

    # -- counting -------------------------------------------------------------------------------------------

    def _traffic(self, direction: Direction, position: int) -> Traffic:
        other = self._streams[other_way(direction)].position
        up, down = (position, other) if direction == "up" else (other, position)
        handshake = up + down if self._handshake_bytes is None else min(self._handshake_bytes, up + down)
        return Traffic(up, down, handshake)

    def _dropped(self, count: int, unit: DropUnit, why: str) -> Dropped:
        return Dropped(self.connection, self._time_s, count, unit, why)


class Meter:
    """Bytes of one direction that no message was charged for yet and that are no call's own.

    Frames of several calls pass between one another on one connection, whole or in pieces: a message is
    charged for its own call's DATA, never for another's. Headers, settings, pings and everything else that
    passed meanwhile are shared, and the next message takes them.
    """

    def __init__(self) -> None:
        self.shared_bytes = 0
        self._position = 0

    def advance(self, position: int) -> int:
        """Bytes that have passed up to a position since the last time."""
        passed = max(0, position - self._position)
        self._position += passed
        return passed

    def take_shared(self) -> int:
        """What is shared, which is charged by this."""
        taken, self.shared_bytes = self.shared_bytes, 0
        return taken


class TlsProgress:
    """Follows one connection's TLS handshake without its keys: which records belong to it.

    TLS 1.2 marks handshake records as such up to both Finished messages. TLS 1.3 disguises everything behind
    ServerHello as application data: there the client's first such record after the server's is its Finished,
    and ends the handshake.
    """

    def __init__(self, over: bool = False) -> None:
        self.over = over
        self._client_clear = 0
        self._server_encrypted = False

    def record(self, direction: Direction, content_type: int) -> bool:
        """Take the next record's content type; True while the record is part of the handshake."""
        if self.over:
            return False
        if content_type != APPLICATION_DATA:
            self._client_clear += direction == "up" and content_type == HANDSHAKE
            return True
        if self._client_clear > _CLEAR_CLIENT_RECORDS_IN_TLS13:
            self.over = True
            return False
        if direction == "down":
            self._server_encrypted = True
        elif self._server_encrypted:
            self.over = True
        return True
