"""The search for the next frame or record in bytes whose beginning was missed.

HTTP/2 has no sync word. What tells a frame header from payload is that it leads to another header, which
leads to another: a *chain*. Every conceivable header begins one; chains are followed side by side, those
that lead nowhere are dropped, and the first to have `CHAIN` links is believed. Should it be wrong all the
same, the tap falls out of step at the next header and hunts again.
"""

from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from typing import Literal

from siftfunnel.attacker.tap.boundaries import (
    FRAME_HEADER_BYTES,
    RECORD_HEADER_BYTES,
    frame_fields,
    likely_frame,
    next_candidate,
    plausible_record,
)

CHAIN = 4
MAX_HUNTED_FRAME_BYTES = 1 << 19
_MAX_CHAINS = 64

Found = Literal["frames", "records"]
_HEADER_BYTES: dict[Found, int] = {"frames": FRAME_HEADER_BYTES, "records": RECORD_HEADER_BYTES}


@dataclass(order=True)
class _Chain:
    """A candidate: where its next header ends, where it began, and how many headers it has had."""

    due: int
    start: int
    kind: Found
    links: int = 0


class Hunt:
    """One search, from a position on. Its result does not depend on how the bytes were cut.

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
