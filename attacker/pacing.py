"""How often something is shown: clocks are passed in."""

import random
from collections import OrderedDict

PICKED_FOR_S = 10.0
MAX_PICKED = 256


class Rate:
    """Says at most so many times a second that something may happen.

    >>> rate = Rate(2.0)
    >>> [rate.allows(now) for now in (0.0, 0.1, 0.6)]
    [True, False, True]
    """

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1 / per_s
        self._next_s = float("-inf")

    def allows(self, now_s: float) -> bool:
        """Whether enough time has passed since it last said yes."""
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._gap_s
        return True


class Picks:
    """Which frames get pictures: about so many sequences a second, each in every network or in none.

    The gaps are uneven: of a few pictures that come in turn at a steady pace, even ones would meet always the
    same.

    >>> picks = Picks(2.0)
    >>> [picks.wants(*frame) for frame in ((7, 0.0), (8, 0.1), (7, 0.2), (8, 0.9), (9, 0.9))]
    [True, False, True, False, True]
    >>> picks.wants(10, 9.0, room=False), picks.wants(10, 9.1), picks.wants(11, 9.2)
    (False, False, True)
    """

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1 / per_s
        self._next_s = float("-inf")
        self._chance = random.Random(0)
        self._decided: OrderedDict[int, tuple[bool, float]] = OrderedDict()

    def wants(self, sequence: int, now_s: float, room: bool = True) -> bool:
        """Whether to make pictures of a frame; a sequence is decided anew after some seconds.

        Args:
            sequence: the frame's number.
            now_s: the time.
            room: whether a sequence that is not decided yet may be picked.
        """
        wanted, since_s = self._decided.get(sequence, (False, float("-inf")))
        if now_s - since_s > PICKED_FOR_S:
            wanted = room and self._is_due(now_s)
            self._decided[sequence] = wanted, now_s
            if len(self._decided) > MAX_PICKED:
                self._decided.popitem(last=False)
        return wanted

    def _is_due(self, now_s: float) -> bool:
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._gap_s * self._chance.uniform(0.5, 1.5)
        return True
