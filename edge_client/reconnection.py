"""When to dial again and when to give up: exponential backoff with jitter, as a pure state machine."""

from collections.abc import Callable

from siftfunnel.edge_client.settings import ReconnectPolicy


class Reconnection:
    """Tracks one outage; time spent connected does not count against the timeout.

    Args:
        policy: the limits.
        jitter: gives numbers in [0, 1): many devices must not return in step.
        servers: how many there are to dial.
    """

    def __init__(self, policy: ReconnectPolicy, jitter: Callable[[], float], servers: int = 1) -> None:
        self._policy = policy
        self._jitter = jitter
        self._servers = servers
        self.answered()

    def answered(self) -> None:
        """An answer came: the outage, if there was one, is over."""
        self._attempts = 0
        self._stalls = 0
        self._refused_by: set[str] = set()
        self._told: set[str] = set()
        self._spent_s = 0.0
        self._down_since_s: float | None = None

    def dialling(self, now_s: float) -> None:
        """An attempt starts; the outage's clock runs from the first one."""
        if self._down_since_s is None:
            self._down_since_s = now_s

    def opened(self, now_s: float) -> None:
        """A stream is open: the clock stops, but only an answer ends the outage."""
        if self._down_since_s is not None:
            self._spent_s += now_s - self._down_since_s
            self._down_since_s = None

    def down_s(self, now_s: float) -> float:
        """How much time without a connection the outage has had, seconds."""
        return self._spent_s + (0.0 if self._down_since_s is None else now_s - self._down_since_s)

    def left_s(self, now_s: float) -> float:
        """How much more of it the policy allows, seconds; 0 or below for none."""
        return self._policy.connect_timeout_s - self.down_s(now_s)

    def refused(self, server: str) -> bool:
        """A server turned the client down.

        Returns:
            Whether all of them have by now, so that going on does not help.
        """
        self._refused_by.add(server)
        return len(self._refused_by) >= self._servers

    def is_news(self, what: str) -> bool:
        """Whether this is the first time in this outage that it is to be told."""
        news = what not in self._told
        self._told.add(what)
        return news

    def lost(self, now_s: float, *, stalled: bool = False) -> float | None:
        """An attempt failed or a stream ended.

        Returns:
            Seconds to wait before the next attempt; None to give up.
        """
        self.dialling(now_s)
        self._stalls = self._stalls + 1 if stalled else self._stalls
        left_s = self.left_s(now_s)
        if left_s <= 0 or self._stalls >= self._policy.stalls_max * self._servers:
            return None
        grown_ms = self._policy.initial_ms * self._policy.factor ** min(self._attempts, 30)
        self._attempts += 1
        wait_s = min(grown_ms, self._policy.ceiling_ms) / 1000 * (0.5 + 0.5 * self._jitter())
        return min(wait_s, left_s)
