"""Which frames show the same picture: one edge sends it through several networks under one sequence number.

While several networks play, a picture is shown when it has been heard through all of them; one that got lost
in one of them is passed over. Where only one plays, its frames are shown alone, after a moment.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PATIENCE_S = 2.0
MAX_OPEN = 32
REMEMBERED_FRAMES = 32


@dataclass
class Pair:
    """One picture and what became of it in each network.

    Attributes:
        number: counts pairs from 1.
        sequence: the edge's number of the picture.
        since_s: when the first frame came.
        views: the frames' views (see `siftfunnel.attacker.views`) by digest.
    """

    number: int
    sequence: int
    since_s: float
    views: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def fits(self, view: Mapping[str, Any]) -> bool:
        """Whether a frame of this sequence may show the same picture, in a network that is not here yet."""
        return view["digest"] not in self.views and all(
            _may_be_the_same(view, other) for other in self.views.values()
        )

    @property
    def original(self) -> str | None:
        """The picture, as a data address; None where no frame's is known."""
        originals = (view["pictures"]["original"] for view in self._in_order())
        return next((original for original in originals if original), None)

    def as_json(self) -> dict[str, Any]:
        """The picture once, and what each network made of it, the undefended ones first."""
        views = self._in_order()
        first = next((view for view in views if view["pictures"]["original"]), views[0])
        return {
            "number": self.number,
            "sequence": self.sequence,
            "label": first["label"],
            "original": first["pictures"]["original"],
            "jpeg_bytes": first["jpeg_bytes"],
            "sides": [{**view, "pictures": {**view["pictures"], "original": None}} for view in views],
        }

    def _in_order(self) -> list[Mapping[str, Any]]:
        return sorted(self.views.values(), key=lambda view: (view["defended"], view["bundle"]))


def _may_be_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    # An edge that was started again may number other pictures alike; networks may take other sizes.
    pictures = one["pictures"]["original"], other["pictures"]["original"]
    return None in pictures or pictures[0] == pictures[1] or one["original_size"] != other["original_size"]


class SideBySide:
    """Puts frames of one sequence together; a pure state machine, the time is passed in."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, Pair] = OrderedDict()
        self._playing: deque[str] = deque(maxlen=REMEMBERED_FRAMES)
        self._count = 0

    def add(self, view: Mapping[str, Any], now_s: float) -> list[Pair]:
        """Take a frame's view; returns the pairs that are to be shown now, those without pictures never."""
        self._playing.append(view["digest"])
        if not view["pictures"]:
            return self.ripe(now_s)
        sequence = view["sequence"]
        if sequence not in self._open or not self._open[sequence].fits(view):
            self._count += 1
            self._open[sequence] = Pair(self._count, sequence, now_s)
        pair = self._open[sequence]
        pair.views[view["digest"]] = view
        if len(pair.views) > 1 and pair.views.keys() >= set(self._playing):
            return [self._open.pop(sequence), *self.ripe(now_s)]
        return self.ripe(now_s)

    def ripe(self, now_s: float) -> list[Pair]:
        """Pairs that need not wait any longer, or have to make room, oldest first."""
        networks = len(set(self._playing))
        shown = []
        while self._open:
            oldest = next(iter(self._open.values()))
            is_alone = networks == 1 and now_s - oldest.since_s >= PATIENCE_S
            if not is_alone and len(self._open) <= MAX_OPEN:
                break
            self._open.popitem(last=False)
            if is_alone or len(oldest.views) > 1:
                shown.append(oldest)
        return shown
