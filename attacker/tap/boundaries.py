"""What a frame header of HTTP/2 or a record header of TLS can look like, and the search for the next one."""

import re
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from typing import Literal

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_BYTES = 9
RECORD_HEADER_BYTES = 5
MAX_RECORD_BYTES = (1 << 14) + 2048
MAX_HUNTED_STREAM = 1 << 24
CHAIN = 4
MAX_HUNTED_FRAME_BYTES = 1 << 19
_MAX_CHAINS = 64
Found = Literal["frames", "records"]
_HEADER_BYTES: dict[Found, int] = {"frames": FRAME_HEADER_BYTES, "records": RECORD_HEADER_BYTES}

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)

_FLAGS = {
    DATA: 0x09,
    HEADERS: 0x2D,
    PRIORITY: 0,
    RST_STREAM: 0,
    SETTINGS: 0x01,
    PUSH_PROMISE: 0x0C,
    PING: 0x01,
    GOAWAY: 0,
    WINDOW_UPDATE: 0,
    CONTINUATION: 0x04,
}
_FIXED_LENGTH = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_ON_CONNECTION = frozenset((SETTINGS, PING, GOAWAY))

# A cheap necessary condition: the search through foreign bytes, long runs of zeros above all, runs in C.
_ODD = b"[" + b"".join(re.escape(bytes([odd])) for odd in range(1, 256, 2)) + b"]"
_CANDIDATE = re.compile(
    b"|".join(
        (
            rb"[\x00-\x10]..[\x00-\x03\x05\x09][\x00-\x2d]\x00.." + _ODD,  # frames of a stream
            rb"[\x00-\x10]..[\x04\x06\x07][\x00\x01]\x00\x00\x00\x00",  # SETTINGS, PING, GOAWAY
            rb"\x00\x00\x04\x08\x00\x00...",  # WINDOW_UPDATE
            rb"[\x14-\x18]\x03[\x00-\x04][\x00-\x48].....",  # TLS records
        )
    ),
    re.DOTALL,
)


def frame_fields(data: bytes | bytearray, at: int) -> tuple[int, int, int, int]:
    """Length, type, flags and stream of the HTTP/2 frame header at an offset (RFC 9113, 4.1)."""
    length = int.from_bytes(data[at : at + 3], "big")
    return length, data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF


def plausible_frame(length: int, kind: int, flags: int, stream_id: int, max_frame_bytes: int) -> bool:
    """Whether a header keeps every rule a frame of RFC 9113 must keep, as gRPC peers send them.

    >>> plausible_frame(8, PING, 0, 0, 16384), plausible_frame(7, PING, 0, 0, 16384)
    (True, False)
    """
    if length > max_frame_bytes or kind not in _FLAGS or flags & ~_FLAGS[kind]:
        return False
    if kind in _FIXED_LENGTH and length != _FIXED_LENGTH[kind]:
        return False
    if kind == WINDOW_UPDATE:
        return stream_id == 0 or stream_id % 2 == 1
    if kind in _ON_CONNECTION:
        return stream_id == 0 and (kind != SETTINGS or length % 6 == 0) and (kind != GOAWAY or length >= 8)
    return stream_id % 2 == 1


def begins_with_settings(data: bytes) -> bool:
    """Whether bytes begin with the SETTINGS frame that opens the server's side of HTTP/2.

    >>> begins_with_settings(bytes.fromhex("000006" "04" "00" "00000000"))
    True
    """
    if len(data) < FRAME_HEADER_BYTES:
        return False
    length, kind, flags, stream_id = frame_fields(data, 0)
    return kind == SETTINGS and flags == 0 and plausible_frame(length, kind, flags, stream_id, 1 << 14)


def looks_like_tls(data: bytes | bytearray) -> bool:
    """Whether at least three bytes begin like a TLS handshake or alert record.

    >>> looks_like_tls(bytes.fromhex("1603010200"))
    True
    """
    return data[0] in (0x15, 0x16) and data[1] == 3 and data[2] <= 4


def plausible_record(data: bytes | bytearray, at: int) -> int | None:
    """Whole length of the TLS record whose header is at an offset, None if it is none."""
    if not (0x14 <= data[at] <= 0x18 and data[at + 1] == 3 and data[at + 2] <= 4):
        return None
    length = int.from_bytes(data[at + 3 : at + 5], "big")
    return length + RECORD_HEADER_BYTES if length <= MAX_RECORD_BYTES else None


def next_candidate(data: bytes | bytearray, at: int) -> int | None:
    """The first offset from `at` on where a header is conceivable; None when no whole header's worth is."""
    match = _CANDIDATE.search(data, at)
    return match.start() if match else None


def likely_frame(
    first_stream_byte: int, length: int, kind: int, flags: int, stream_id: int, max_frame_bytes: int
) -> bool:
    """Like `plausible_frame`, but as frames nearly always are.

    No reserved bit, fewer than 8 million calls before, empty DATA only to end a stream. Nine random bytes
    pass about once in ten million.
    """
    if kind == DATA and length == 0 and not flags & 0x01:
        return False
    if first_stream_byte > 0x7F or stream_id >= MAX_HUNTED_STREAM:
        return False
    return plausible_frame(length, kind, flags, stream_id, max_frame_bytes)


@dataclass(order=True)
class _Chain:
    """A candidate: where its next header ends, where it began, and how many headers it has had."""

    due: int
    start: int
    kind: Found
    links: int = 0


class Hunt:
    """One search for the next frame or record, from a position on, in bytes whose beginning was missed.

    HTTP/2 has no sync word. What tells a frame header from payload is that it leads to another header, which
    leads to another: a *chain*. Every conceivable header begins one; chains are followed side by side, those
    that lead nowhere are dropped, and the first to have `CHAIN` links is believed. Should it be wrong all the
    same, the tap falls out of step at the next header and hunts again. The result does not depend on how the
    bytes were cut.

    `max_frame_bytes` is what the caller reads: a chain through longer frames would lead it back here at once.
    """

    def __init__(self, position: int, max_frame_bytes: int) -> None:
        self._max_frame_bytes = min(max_frame_bytes, MAX_HUNTED_FRAME_BYTES)
        self._scanned = position
        # A heap: chains are followed in the order in which their headers would arrive byte by byte.
        self._chains: list[_Chain] = []

    @property
    def needed_from(self) -> int:
        """Bytes before this position are of no further use."""
        return min((chain.start for chain in self._chains), default=self._scanned)

    def search(self, data: bytearray, base: int) -> tuple[int, Found] | None:
        """Where frames or records begin, once that is clear; `data` begins at position `base`."""
        while (found := next_candidate(data, self._scanned - base)) is not None:
            position = base + found
            if (ended := self._follow(data, base, position + FRAME_HEADER_BYTES)) is not None:
                return ended
            self._begin(data[found], position)
            self._scanned = position + 1
        self._scanned = max(self._scanned, base + len(data) - FRAME_HEADER_BYTES + 1)
        return self._follow(data, base, base + len(data))

    def _begin(self, first_byte: int, start: int) -> None:
        kind: Found = "records" if first_byte >= 0x14 else "frames"
        heappush(self._chains, _Chain(start + _HEADER_BYTES[kind], start, kind))
        if len(self._chains) > _MAX_CHAINS:
            # The true chain takes small steps; what claims the farthest next header is the least likely.
            self._chains.remove(max(self._chains))
            heapify(self._chains)

    def _follow(self, data: bytearray, base: int, limit: int) -> tuple[int, Found] | None:
        """Follow the chains through the bytes before position `limit`; the first that is complete."""
        while self._chains and self._chains[0].due <= limit:
            chain = self._chains[0]
            length = self._length(chain.kind, data, chain.due - _HEADER_BYTES[chain.kind] - base)
            if length is None:
                heappop(self._chains)
                continue
            if chain.links == CHAIN - 1:
                return chain.start, chain.kind
            heapreplace(self._chains, _Chain(chain.due + length, chain.start, chain.kind, chain.links + 1))
        return None

    def _length(self, kind: Found, data: bytearray, at: int) -> int | None:
        """The whole length of the frame or record whose header is at an offset; None if it is none."""
        if kind == "records":
            return plausible_record(data, at)
        fields = frame_fields(data, at)
        if not likely_frame(data[at + 5], *fields, self._max_frame_bytes):
            return None
        return FRAME_HEADER_BYTES + fields[0]
