"""IP fragments put together again, within bounds. Times are those of the packets."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

_MAX_DATAGRAM_BYTES = (1 << 16) - 1


@dataclass
class _Datagram:
    """The parts of one datagram by their offsets; `whole_bytes` is known once the last part came."""

    since_s: float
    parts: dict[int, bytes] = field(default_factory=dict)
    held_bytes: int = 0
    whole_bytes: int | None = None

    def add(self, offset: int, more: bool, part: bytes) -> None:
        """Take a part that was not there yet."""
        if offset not in self.parts:
            self.parts[offset] = part
            self.held_bytes += len(part)
        if not more:
            self.whole_bytes = offset + len(part)

    def joined(self) -> bytes | None:
        """The datagram, once every part of it is there."""
        if self.whole_bytes is None or self.held_bytes < self.whole_bytes:
            return None
        joined = bytearray()
        for offset, part in sorted(self.parts.items()):
            if offset > len(joined):
                return None
            # Where fragments overlap, what came first in the datagram stands.
            joined += part[len(joined) - offset :]
        return bytes(joined[: self.whole_bytes])


class Fragments:
    """Keeps fragments until their datagram is whole; the oldest datagrams are let go first.

    Args:
        datagrams: how many may be unfinished at once.
        wait_s: how long one may be unfinished; receivers wait about as long.
    """

    def __init__(self, datagrams: int = 64, wait_s: float = 30.0) -> None:
        self._most = datagrams
        self._wait_s = wait_s
        self._datagrams: OrderedDict[Hashable, _Datagram] = OrderedDict()
        self._lost = 0

    def add(self, key: Hashable, offset: int, more: bool, part: bytes, time_s: float) -> bytes | None:
        """Take one fragment; the payload of the whole datagram once it is complete."""
        datagram = self._datagrams.setdefault(key, _Datagram(time_s))
        datagram.add(offset, more, part)
        whole = datagram.joined()
        if whole is not None:
            del self._datagrams[key]
        elif offset + len(part) > _MAX_DATAGRAM_BYTES or datagram.held_bytes > _MAX_DATAGRAM_BYTES:
            # No sender makes these: they overlap, or are no fragments at all.
            self._lost += len(self._datagrams.pop(key).parts)
        self._let_go(time_s)
        return whole

    def take_lost(self) -> int:
        """Fragments given up since the last time this was asked."""
        lost, self._lost = self._lost, 0
        return lost

    def close(self) -> None:
        """Nothing more will come: give up what is unfinished."""
        self._lost += sum(len(datagram.parts) for datagram in self._datagrams.values())
        self._datagrams.clear()

    def _let_go(self, now_s: float) -> None:
        while self._datagrams:
            oldest = next(iter(self._datagrams.values()))
            if len(self._datagrams) <= self._most and now_s - oldest.since_s <= self._wait_s:
                return
            self._lost += len(self._datagrams.popitem(last=False)[1].parts)
