"""What a tap tells its listeners, and what a feed looks like from outside.

A *feed* (sniff, relay, pcap, cloud) obtains bytes, a *tap* understands them, and a *sink* receives events:

    feed --bytes--> tap --Event--> sink(event)

Everything here is a frozen value without behaviour, so that the inversion, the page and the recorder depend
on this file alone. Times are seconds since the epoch; `direction` is "up" from client to server, "down"
back. A `connection` name is unique within one feed for the life of the process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from siftfunnel.shared.rpc import split_inference_pb2 as pb

Direction = Literal["up", "down"]
Kind = Literal["frame", "reply", "frames", "replies", "other"]
DigestSource = Literal["header", "checksum"]
DropUnit = Literal["bytes", "packets", "messages", "header blocks", "calls", "connections", "lines"]


def other_way(direction: Direction) -> Direction:
    """The opposite direction.

    >>> other_way("up")
    'down'
    """
    return "down" if direction == "up" else "up"


@dataclass(frozen=True, slots=True)
class Traffic:
    """TCP payload bytes of one connection so far, each byte once however often it was sent, missed ones too.

    `handshake_bytes` is what passed, both ways, before the first Frame began: TLS and HTTP/2 setup,
    `Describe`, request headers. Under TLS the tap cannot see where the first Frame begins and counts the
    TLS handshake only.
    """

    up_bytes: int = 0
    down_bytes: int = 0
    handshake_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Both directions, handshake included."""
        return self.up_bytes + self.down_bytes

    @property
    def wire_bytes(self) -> int:
        """Both directions without the handshake: what the frames and their answers cost on the wire."""
        return self.total_bytes - self.handshake_bytes


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """A connection was seen for the first time; `joined_midway` means its beginning was not.

    `told_by` says what client and server were then told apart by; empty where there is no doubt.
    """

    connection: str
    time_s: float
    client: str
    server: str
    joined_midway: bool
    told_by: str = ""


@dataclass(frozen=True, slots=True)
class Overheard:
    """One whole gRPC message.

    `kind` says what the message is: a serialised `Frame` ("frame"), a serialised `Reply` ("reply"), several
    of either in one message ("frames", "replies"), or anything else ("other": Describe, health checks). It
    follows from the method where the headers could be read, and from direction and shape where they could
    not; then `method` is None. `digest` is the bundle's digest, None while unknown; `digest_source` says how
    it is known: read from the call's metadata
    ("header") or settled by a payload checksum that fits one known bundle only ("checksum"). `message` is
    what it was before gRPC compressed it, `parts` the Frames or Replies in it, None where it does not hold
    what its method says. `wire_bytes` is the TCP payload of this direction that was charged to no frame or
    reply yet (0 for "other"), its own call's DATA and what is no call's, so that the sum over a connection,
    with what passes behind the last of each direction, is its traffic without the handshake.
    """

    connection: str
    time_s: float
    direction: Direction
    stream_id: int
    kind: Kind
    method: str | None
    digest: str | None
    digest_source: DigestSource | None
    message: bytes
    parts: "tuple[pb.Frame | pb.Reply, ...] | None"
    wire_bytes: int
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class Opaque:
    """Bytes that passed and say nothing but their size, direction and time.

    `reason`: "tls handshake", "tls" (one event per TLS record), "not http2", or "no frame boundary" (bytes
    skipped while looking for the next HTTP/2 frame after joining midway or after a loss).
    `sample` is the beginning of a TLS record's ciphertext, for people to look at.
    """

    connection: str
    time_s: float
    direction: Direction
    byte_count: int
    reason: str
    traffic: Traffic
    sample: bytes = b""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something passed that the tap did not get or could not keep: `count` of `unit`, and why.

    `connection` is None when the loss cannot be laid on one connection (packets lost by the kernel).
    """

    connection: str | None
    time_s: float
    count: int
    unit: DropUnit
    why: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The end of a connection, with its final counts; `how` is a few words ("closed", "reset", "idle")."""

    connection: str
    time_s: float
    how: str
    traffic: Traffic


Event = ConnectionOpened | Overheard | Opaque | Dropped | ConnectionClosed

Sink = Callable[[Event], None]
"""Receives every event of a feed, in order, on the feed's own parsing thread.

A slow sink never slows the traffic: the feed's bounded spool fills up, and what no longer fits is dropped
and counted.
"""

Settle = Callable[["pb.Frame"], str | None]
"""Trial decode: given a Frame of unknown bundle, the digest of the one known bundle it fits, or None."""

FeedKind = Literal["sniff", "relay", "pcap", "cloud"]
Phase = Literal["idle", "starting", "running", "finished", "failed", "stopped"]


@dataclass(frozen=True)
class FeedState:
    """A feed's honest account of itself, safe to ask for from any thread at any time.

    `tap` is the feed's text form (`relay:127.0.0.1:7000:127.0.0.1:50051`), `address` where a relay really
    listens (its port 0 resolved), `detail` one sentence for people (what it waits for, why it failed, what
    to do). `bytes_seen` is TCP payload that passed, `messages` what was overheard, `opaque_bytes` what
    passed unreadable (TLS, not HTTP/2, out of step), `dropped` counts per "unit: why", `directions_told_by`
    counts connections met midway per what their client and server were told apart by.
    `added_latency_us_p50/p99` is a relay's time from having read a chunk to having written it, over the
    latest chunks; None for feeds that are not in the path.
    """

    tap: str
    kind: FeedKind
    phase: Phase
    detail: str = ""
    address: str | None = None
    connections_open: int = 0
    connections_seen: int = 0
    bytes_seen: int = 0
    opaque_bytes: int = 0
    messages: int = 0
    encrypted_connections: int = 0
    midway_connections: int = 0
    directions_told_by: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    added_latency_us_p50: float | None = None
    added_latency_us_p99: float | None = None


class FeedError(RuntimeError):
    """A feed that cannot start or go on; the message says what failed and what to do."""


class Feed(Protocol):
    """One way of listening.

    `start` returns once the feed listens (a relay's port is bound, a sniffer's socket open) or raises
    `FeedError`; events then arrive on the feed's own thread. `stop` ends threads and sockets, waits for
    them, and may be called twice. Both are called from one thread; `state` from any.
    """

    def start(self, sink: Sink) -> None:
        """Begin listening and hand every event to `sink`."""
        ...

    def stop(self) -> None:
        """Stop listening; the last events have been handed over when this returns."""
        ...

    def state(self) -> FeedState:
        """How the feed is doing now."""
        ...
