"""The calls of one connection: what is known of each, and its two message readers."""

from collections import OrderedDict
from dataclasses import dataclass, field

from siftfunnel.attacker.tap.events import DigestSource, Direction
from siftfunnel.attacker.tap.inflate import inflate
from siftfunnel.attacker.tap.limits import TapLimits
from siftfunnel.attacker.tap.messages import Budget, MessageReader, MessageSkipped
from siftfunnel.attacker.tap.shape import read
from siftfunnel.shared.call_metadata import BUNDLE_KEY
from siftfunnel.shared.digests import is_digest

ENCODING_KEY = "grpc-encoding"
_ENDED_REMEMBERED = 32


@dataclass
class Call:
    """One gRPC call, one HTTP/2 stream.

    Attributes:
        stream_id: the HTTP/2 stream.
        readers: put its messages together.
        method: None when its request headers were not readable.
        digest: the bundle's digest, None while unknown.
        digest_source: how it is known.
        encodings: how each side compresses, where it was heard.
        uncharged: bytes of its DATA frames that no message was charged for yet.
    """

    stream_id: int
    readers: dict[Direction, MessageReader] = field(default_factory=dict)
    method: str | None = None
    digest: str | None = None
    digest_source: DigestSource | None = None
    encodings: dict[Direction, str] = field(default_factory=dict)
    uncharged: dict[Direction, int] = field(default_factory=lambda: {"up": 0, "down": 0})

    def note_headers(self, direction: Direction, fields: dict[str, str]) -> None:
        """Learn from request or response headers; what the client named first stands."""
        if ENCODING_KEY in fields:
            self.encodings[direction] = fields[ENCODING_KEY]
        if direction == "up":
            self.method = self.method or fields.get(":path")
        named = fields.get(BUNDLE_KEY, "")
        if self.digest is None and is_digest(named):
            self.digest, self.digest_source = named, "header"

    def close(self) -> None:
        """Let go of unfinished messages."""
        for reader in self.readers.values():
            reader.close()


class CallTable:
    """Calls by stream, at most `limits.calls`; the one heard of first is forgotten first."""

    def __init__(self, limits: TapLimits) -> None:
        self._limits = limits
        self._budget = Budget(limits.buffered_bytes)
        self._calls: OrderedDict[int, Call] = OrderedDict()
        self._ended: OrderedDict[int, Call] = OrderedDict()

    @property
    def buffered_bytes(self) -> int:
        """Unfinished messages held."""
        return self._budget.used_bytes

    def begin(self, stream_id: int, in_step: bool) -> tuple[Call, bool]:
        """The call of a stream, made if it is new, and whether an older one had to be forgotten for it."""
        call = self.find(stream_id)
        if call is not None:
            return call, False
        call = Call(stream_id)
        call.readers = {way: self._reader(call, way, in_step) for way in ("up", "down")}
        self._calls[stream_id] = call
        if len(self._calls) <= self._limits.calls:
            return call, False
        self._calls.popitem(last=False)[1].close()
        return call, True

    def find(self, stream_id: int) -> Call | None:
        """The call of a stream, if it is known, one that has ended lately included.

        When one direction ends a call, the rest of the other may still be under way.
        """
        return self._calls.get(stream_id) or self._ended.get(stream_id)

    def end(self, stream_id: int) -> None:
        """A call is over, if it was known and not over before."""
        call = self._calls.pop(stream_id, None)
        if call is not None:
            self._ended[stream_id] = call
            if len(self._ended) > _ENDED_REMEMBERED:
                self._ended.popitem(last=False)[1].close()

    def close(self) -> None:
        """Let go of everything."""
        for call in (*self._calls.values(), *self._ended.values()):
            call.close()
        self._calls.clear()
        self._ended.clear()

    def lose_step(self, direction: Direction) -> list[MessageSkipped]:
        """A part of one direction was missed: the messages that were under way."""
        known = (*self._calls.values(), *self._ended.values())
        lost = [call.readers[direction].lose_step() for call in known]
        return [skipped for skipped in lost if skipped is not None]

    def _reader(self, call: Call, direction: Direction, in_step: bool) -> MessageReader:
        limit_bytes = self._limits.message_bytes
        return MessageReader(
            limit_bytes,
            self._budget,
            read=lambda body, guessed: read(None if guessed else call.method, direction, body),
            inflate=lambda body: inflate(body, call.encodings.get(direction), limit_bytes),
            in_step=in_step,
        )
