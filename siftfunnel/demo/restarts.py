"""Bringing back what died: after a pause, and not for ever."""

from collections import deque
from dataclasses import dataclass, field

PAUSE_S = 3.0
MOST = 5
WITHIN_S = 120.0


@dataclass
class Restarts:
    """When a party that is gone may come back; pure, callers pass the time in.

    Attributes:
        pause_s: how long it stays away, so that a person sees it.
        most: deaths by itself within `within_s` that are forgiven; one more is too many.
        within_s: seconds over which they count.
    """

    pause_s: float = PAUSE_S
    most: int = MOST
    within_s: float = WITHIN_S
    _deaths_s: deque[float] = field(default_factory=deque)
    _due_s: float | None = None
    _killed: bool = False

    def killed(self) -> None:
        """Somebody asked for the next death; it is not counted."""
        self._killed = True

    def died(self, now_s: float) -> bool:
        """Note a death; False where it was one too many.

        >>> restarts = Restarts(most=1)
        >>> restarts.died(0.0), restarts.died(1.0), restarts.died(500.0)
        (True, False, True)
        """
        self._due_s = now_s + self.pause_s
        if self._killed:
            self._killed = False
            return True
        while self._deaths_s and self._deaths_s[0] <= now_s - self.within_s:
            self._deaths_s.popleft()
        self._deaths_s.append(now_s)
        return len(self._deaths_s) <= self.most

    @property
    def away(self) -> bool:
        """Whether it died and has not come back."""
        return self._due_s is not None

    def due(self, now_s: float) -> bool:
        """Whether it is to come back now; True once per death."""
        if self._due_s is None or now_s < self._due_s:
            return False
        self._due_s = None
        return True
