"""One direction of a TCP connection put back in order from the segments of a capture.

Bytes come out in order and once. What is missing is waited for until the wait is over or the buffer full;
then it is counted as missed, and the stream goes on behind the hole. The wait is short once the receiver has
acknowledged what is missing: then only the capture lacks it, and nobody will send it again. Where segments
overlap, what came first stands.
"""

from bisect import bisect_left
from dataclasses import dataclass

from siftfunnel.attacker.tap.packets import Segment

_SEQUENCES = 1 << 32
NOT_CAPTURED = "segments that the capture does not hold"
CUT_OFF = "segments cut off by the capture's snap length"


@dataclass(frozen=True)
class ReassemblyLimits:
    """How long and how much to wait for missing segments, per direction.

    Attributes:
        wait_s: after this much packet time a hole counts as missed; senders repeat themselves sooner.
        acknowledged_wait_s: likewise for a hole whose bytes the receiver has. Packets of two directions
            may be captured in another order than they passed in, by about this much.
        pending_bytes: bytes kept behind a hole.
        pending_segments: segments kept behind a hole.
        window_bytes: segments further ahead than this are foreign; TCP's largest window is 1 GiB.
    """

    wait_s: float = 3.0
    acknowledged_wait_s: float = 0.02
    pending_bytes: int = 8 << 20
    pending_segments: int = 8192
    window_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Missed:
    """Bytes that were never captured, and why."""

    byte_count: int
    why: str = NOT_CAPTURED


@dataclass(frozen=True, slots=True, order=True)
class _Pending:
    offset: int
    payload: bytes
    payload_bytes: int
    time_s: float


class HalfFlow:
    """Takes segments, gives out bytes and holes in order."""

    def __init__(self, limits: ReassemblyLimits) -> None:
        self._limits = limits
        # Offsets are sequence numbers that do not wrap: the distance to the expected one is added to it.
        self._expected: int | None = None
        self._pending: list[_Pending] = []
        self._pending_bytes = 0
        self._acknowledged = -1
        self._end: int | None = None

    @property
    def synchronised(self) -> bool:
        """Whether it is known which sequence number comes next."""
        return self._expected is not None

    @property
    def ended(self) -> bool:
        """Whether everything up to the FIN was given out."""
        return self._end is not None and self._expected is not None and self._expected >= self._end

    @property
    def pending_bytes(self) -> int:
        """Bytes kept behind a hole."""
        return self._pending_bytes

    def begin(self, sequence: int) -> None:
        """The next byte has this sequence number."""
        self._expected = sequence

    def is_expected(self, sequence: int) -> bool:
        """Whether a sequence number lies at or shortly behind the next byte (what a believable RST has)."""
        return self._expected is None or -1 <= self._distance(sequence) <= self._limits.window_bytes

    def is_beyond(self, sequence: int) -> bool:
        """Whether a sequence number lies further ahead than any window reaches."""
        return self._expected is not None and self._distance(sequence) > self._limits.window_bytes

    def receive(self, segment: Segment, now_s: float) -> list[bytes | Missed]:
        """Take one segment (without SYN)."""
        if self._expected is None:
            if not segment.payload_bytes and not segment.fin:
                return []
            self._expected = segment.sequence
        if self.is_beyond(segment.sequence):
            return []
        offset = self._expected + self._distance(segment.sequence)
        if segment.fin:
            self._end = offset + segment.payload_bytes
        out: list[bytes | Missed] = []
        if segment.payload_bytes and offset + segment.payload_bytes > self._expected:
            self._keep(_Pending(offset, segment.payload, segment.payload_bytes, now_s))
            self._drain(out)
        return out + self.expire(now_s)

    def acknowledge(self, acknowledgement: int, now_s: float) -> list[bytes | Missed]:
        """The receiver has everything before this sequence number."""
        if self._expected is not None:
            self._acknowledged = max(self._acknowledged, self._expected + self._distance(acknowledgement))
        return self.expire(now_s)

    def expire(self, now_s: float) -> list[bytes | Missed]:
        """Give up on holes that were waited for long enough, or that too much waits behind."""
        out: list[bytes | Missed] = []
        while self._pending and self._must_give_up(now_s):
            self._jump(out)
        return out

    def finish(self) -> list[bytes | Missed]:
        """Nothing more will come: give out what is left, with its holes."""
        out: list[bytes | Missed] = []
        while self._pending:
            self._jump(out)
        return out

    def _distance(self, sequence: int) -> int:
        """How far ahead of the next byte a sequence number is, wrap-around considered; negative: behind."""
        ahead = (sequence - (self._expected or 0)) % _SEQUENCES
        return ahead - _SEQUENCES if ahead >= _SEQUENCES // 2 else ahead

    def _keep(self, pending: _Pending) -> None:
        at = bisect_left(self._pending, pending.offset, key=lambda other: other.offset)
        if at < len(self._pending) and self._pending[at].offset == pending.offset:
            if self._pending[at].payload_bytes >= pending.payload_bytes:
                return
            at += 1
        self._pending.insert(at, pending)
        self._pending_bytes += len(pending.payload)

    def _drain(self, out: list[bytes | Missed]) -> None:
        """Give out what follows without a hole."""
        assert self._expected is not None
        done = 0
        for pending in self._pending:
            if pending.offset > self._expected:
                break
            done += 1
            self._pending_bytes -= len(pending.payload)
            known = self._expected - pending.offset
            if known < len(pending.payload):
                out.append(pending.payload[known:])
            end = pending.offset + pending.payload_bytes
            cut_bytes = end - max(self._expected, pending.offset + len(pending.payload))
            if cut_bytes > 0:
                out.append(Missed(cut_bytes, CUT_OFF))
            self._expected = max(self._expected, end)
        del self._pending[:done]

    def _must_give_up(self, now_s: float) -> bool:
        first, limits = self._pending[0], self._limits
        received = self._acknowledged >= first.offset
        return (
            now_s - first.time_s > (limits.acknowledged_wait_s if received else limits.wait_s)
            or self._pending_bytes > limits.pending_bytes
            or len(self._pending) > limits.pending_segments
        )

    def _jump(self, out: list[bytes | Missed]) -> None:
        assert self._expected is not None
        out.append(Missed(self._pending[0].offset - self._expected))
        self._expected = self._pending[0].offset
        self._drain(out)
