"""How often something is shown: clocks are passed in."""

from collections import OrderedDict

PICKED_FOR_S = 10.0
MAX_PICKED = 256


class Rate:
    """Says at most so many times a second, on average, that something may happen.

    A gap that was a little too long shortens the next one: what comes at a steady pace is then not met at
    every n-th place only, which would show always the same ones of a few that come in turn.

    >>> rate = Rate(2.0)
    >>> [rate.allows(now) for now in (0.0, 0.1, 0.6, 1.0)]
    [True, False, True, True]
    """

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1 / per_s
        self._next_s = float("-inf")

    def allows(self, now_s: float) -> bool:
        """Whether enough time has passed since it last said yes."""
        if now_s < self._next_s:
            return False
        is_late = now_s - self._next_s >= self._gap_s
        self._next_s = (now_s if is_late else self._next_s) + self._gap_s
        return True


class Picks:
    """Which frames get pictures: a few sequences a second, each through every network or through none.

    >>> picks = Picks(2.0)
    >>> [picks.wants(*frame) for frame in ((7, 0.0), (8, 0.1), (7, 0.2), (8, 0.9), (9, 0.9))]
    [True, False, True, False, True]
    """

    def __init__(self, per_s: float) -> None:
        self._rate = Rate(per_s)
        self._decided: OrderedDict[int, tuple[bool, float]] = OrderedDict()

    def wants(self, sequence: int, now_s: float) -> bool:
        """Whether to make pictures of a frame; a sequence is decided anew after some seconds."""
        wanted, since_s = self._decided.get(sequence, (False, float("-inf")))
        if now_s - since_s > PICKED_FOR_S:
            wanted = self._rate.allows(now_s)
            self._decided[sequence] = wanted, now_s
            if len(self._decided) > MAX_PICKED:
                self._decided.popitem(last=False)
        return wanted
