"""One direction of a TCP connection, cut into HTTP/2 frames or TLS records; pure, and never out of bounds.

    start --preface or SETTINGS--> frames --impossible header, bytes missed--> hunting --chain of headers-->
    frames
          --TLS record-----------> records                                             --chain of records-->
          records --anything else--------> foreign (or hunting, when the beginning was missed)

Positions count TCP payload bytes of this direction from 0, missed ones included. What is given out does not
depend on where the bytes were cut when they came in.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hyperframe.frame import Frame

from siftfunnel.attacker.tap.boundaries import (
    FRAME_HEADER_BYTES,
    PREFACE,
    RECORD_HEADER_BYTES,
    Hunt,
    begins_with_settings,
    frame_fields,
    looks_like_tls,
    plausible_frame,
    plausible_record,
)
from siftfunnel.attacker.tap.events import Direction

_REPORT_EVERY_BYTES = 1 << 16
_ELSEWHERE_STRETCHES = 4096
SAMPLE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class FrameSeen:
    """A whole HTTP/2 frame; `elsewhere` is the other direction's position when its first byte came."""

    frame: Frame
    start: int
    end: int
    elsewhere: int


@dataclass(frozen=True, slots=True)
class FrameSkipped:
    """A frame that was not read: too long, damaged, or with a hole in it. Framing goes on behind it."""

    kind: int
    stream_id: int
    byte_count: int
    why: str


@dataclass(frozen=True, slots=True)
class RecordSeen:
    """A whole TLS record, header included; `sample` is the beginning of what it carries."""

    content_type: int
    byte_count: int
    end: int
    sample: bytes = b""


@dataclass(frozen=True, slots=True)
class Unread:
    """Bytes nothing can be said of."""

    byte_count: int
    reason: str
    end: int


@dataclass(frozen=True, slots=True)
class OutOfStep:
    """Frames can no longer be told apart: whatever was unfinished is lost, header tables included."""

    why: str


Item = FrameSeen | FrameSkipped | RecordSeen | Unread | OutOfStep


class FrameStream:
    """Cuts one direction; `receive` what came, `lose` what is known to be missing, `close` at the end."""

    def __init__(self, direction: Direction, joined_midway: bool, max_frame_bytes: int) -> None:
        self.position = 0
        self._direction = direction
        self._joined_midway = joined_midway
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._at = 0
        self._base = 0
        self._mode: Callable[[], bool] = self._starting
        self._after_skip: Callable[[], bool] = self._starting
        self._skip_bytes = 0
        self._hunt = Hunt(0, max_frame_bytes)
        self._trusted = not joined_midway
        self._unreported_bytes = 0
        self._items: list[Item] = []
        # Which position of the other direction goes with which stretch of the buffer: (from here, position).
        self._elsewhere: deque[tuple[int, int]] = deque([(0, 0)], maxlen=_ELSEWHERE_STRETCHES)

    @property
    def buffered_bytes(self) -> int:
        """What is held back until more comes."""
        return len(self._buffer)

    def receive(self, data: bytes, elsewhere: int = 0) -> list[Item]:
        """Take the next bytes; `elsewhere` is the other direction's position now."""
        if elsewhere != self._elsewhere[-1][1]:
            self._elsewhere.append((self.position, elsewhere))
        self._buffer += data
        self.position += len(data)
        while self._mode():
            pass
        return self._hand_over()

    def lose(self, byte_count: int) -> list[Item]:
        """Take note that the next `byte_count` bytes passed unseen."""
        pending = len(self._buffer)
        self.position += byte_count
        left_bytes, step = self._rest_of_unit()
        if left_bytes >= byte_count:
            # The hole lies within one frame or record whose end is known: only that one is lost.
            self._skip(left_bytes - byte_count, step)
        elif self._mode != self._foreign:
            self._unreported_bytes += pending
            self._fall_out_of_step("bytes were missed")
            self._begin_hunt(self.position)
        self._buffer.clear()
        self._at, self._base = 0, self.position
        return self._hand_over()

    def close(self) -> list[Item]:
        """Account for what never became whole."""
        hunting = self._mode == self._hunting
        self._unreported_bytes += len(self._buffer)
        self._at = len(self._buffer)
        self._report("no frame boundary" if hunting else "cut off")
        return self._hand_over()

    def _hand_over(self) -> list[Item]:
        del self._buffer[: self._at]
        self._base += self._at
        self._at = 0
        while len(self._elsewhere) > 1 and self._elsewhere[1][0] <= self._base:
            self._elsewhere.popleft()
        items, self._items = self._items, []
        return items

    # -- the modes: each takes one step and says whether there may be another -------------------------------

    def _starting(self) -> bool:
        if len(self._buffer) < 3:
            return False
        if looks_like_tls(self._buffer):
            self._mode = self._records
        elif self._direction == "up":
            return self._expect_preface()
        else:
            return self._expect_settings()
        return True

    def _expect_preface(self) -> bool:
        if not PREFACE.startswith(self._buffer[: len(PREFACE)]):
            return self._begin_blind()
        if len(self._buffer) < len(PREFACE):
            return False
        self._at = len(PREFACE)
        self._mode, self._trusted = self._frames, True
        return True

    def _expect_settings(self) -> bool:
        if len(self._buffer) < FRAME_HEADER_BYTES:
            return False
        if not begins_with_settings(bytes(self._buffer[:FRAME_HEADER_BYTES])):
            return self._begin_blind()
        self._mode = self._frames
        return True

    def _begin_blind(self) -> bool:
        if self._joined_midway:
            self._begin_hunt(0)
        else:
            self._mode = self._foreign
        return True

    def _frames(self) -> bool:
        at, available = self._at, len(self._buffer) - self._at
        if available < FRAME_HEADER_BYTES:
            return False
        length, kind, flags, stream_id = frame_fields(self._buffer, at)
        if not self._trusted and not plausible_frame(length, kind, flags, stream_id, self._max_frame_bytes):
            return self._fall_out_of_step("no frame can begin like this")
        if length > self._max_frame_bytes:
            too_long = f"frame over {self._max_frame_bytes} bytes"
            self._items.append(FrameSkipped(kind, stream_id, length, too_long))
            return self._skip(FRAME_HEADER_BYTES + length, self._frames)
        end = at + FRAME_HEADER_BYTES + length
        if end > len(self._buffer):
            return False
        self._items.append(self._read_frame(at, end, kind, stream_id))
        self._at = end
        return True

    def _read_frame(self, at: int, end: int, kind: int, stream_id: int) -> Item:
        whole = memoryview(bytes(self._buffer[at:end]))
        try:
            frame, _ = Frame.parse_frame_header(whole[:FRAME_HEADER_BYTES])
            frame.parse_body(whole[FRAME_HEADER_BYTES:])
        except Exception as error:  # a foreign parser on hostile bytes: whatever it raises, the frame is bad
            return FrameSkipped(kind, stream_id, end - at - FRAME_HEADER_BYTES, f"damaged frame ({error})")
        start = self._base + at
        elsewhere = next((there for begin, there in reversed(self._elsewhere) if begin <= start), 0)
        return FrameSeen(frame, start, self._base + end, elsewhere)

    def _records(self) -> bool:
        if len(self._buffer) - self._at < RECORD_HEADER_BYTES:
            return False
        length = plausible_record(self._buffer, self._at)
        if length is None:
            return self._fall_out_of_step("no TLS record can begin like this")
        if len(self._buffer) - self._at < length:
            return False
        content_type = self._buffer[self._at]
        body = self._at + RECORD_HEADER_BYTES
        self._at += length
        sample = bytes(self._buffer[body : min(self._at, body + SAMPLE_BYTES)])
        self._items.append(RecordSeen(content_type, length, self._base + self._at, sample))
        return True

    def _skipping(self) -> bool:
        step = min(self._skip_bytes, len(self._buffer) - self._at)
        self._at += step
        self._skip_bytes -= step
        if self._skip_bytes:
            return False
        self._mode = self._after_skip
        return True

    def _hunting(self) -> bool:
        found = self._hunt.search(self._buffer, self._base)
        if found is None:
            self._pass_over(self._hunt.needed_from - self._base)
            return False
        start, kind = found
        self._pass_over(start - self._base)
        self._report("no frame boundary")
        self._mode = self._frames if kind == "frames" else self._records
        return True

    def _foreign(self) -> bool:
        self._unreported_bytes += len(self._buffer) - self._at
        self._at = len(self._buffer)
        self._report("not http2")
        return False

    # -- transitions ----------------------------------------------------------------------------------------

    def _rest_of_unit(self) -> tuple[int, Callable[[], bool]]:
        """Bytes still to come of the frame or record being received, and how to go on behind it."""
        if self._mode == self._skipping:
            return self._skip_bytes, self._after_skip
        if self._mode == self._frames and len(self._buffer) >= FRAME_HEADER_BYTES:
            length, kind, _, stream_id = frame_fields(self._buffer, 0)
            self._items.append(FrameSkipped(kind, stream_id, length, "a part of it was missed"))
            return FRAME_HEADER_BYTES + length - len(self._buffer), self._frames
        if self._mode == self._records and len(self._buffer) >= RECORD_HEADER_BYTES:
            return (plausible_record(self._buffer, 0) or 0) - len(self._buffer), self._records
        return 0, self._hunting

    def _skip(self, byte_count: int, then: Callable[[], bool]) -> bool:
        self._skip_bytes, self._after_skip, self._mode = byte_count, then, self._skipping
        return True

    def _fall_out_of_step(self, why: str) -> bool:
        self._items.append(OutOfStep(why))
        self._trusted = False
        self._begin_hunt(self._base + self._at)
        return True

    def _begin_hunt(self, position: int) -> None:
        self._hunt = Hunt(position, self._max_frame_bytes)
        self._mode = self._hunting

    def _pass_over(self, to: int) -> None:
        """Give up bytes; reported in portions of fixed size, so that reports do not depend on the cuts."""
        while self._unreported_bytes + to - self._at >= _REPORT_EVERY_BYTES:
            portion = max(0, _REPORT_EVERY_BYTES - self._unreported_bytes)
            self._at += portion
            self._unreported_bytes += portion
            self._report("no frame boundary")
        self._unreported_bytes += to - self._at
        self._at = to

    def _report(self, reason: str) -> None:
        if self._unreported_bytes:
            self._items.append(Unread(self._unreported_bytes, reason, self._base + self._at))
            self._unreported_bytes = 0
