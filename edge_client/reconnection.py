"""When to dial again and when to give up: exponential backoff with jitter, as a pure state machine."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Real

from siftfunnel.edge_client.checks import require_numbers


@dataclass(frozen=True)
class ReconnectPolicy:
    """How a lost server is dialled again.

    Attributes:
        initial_ms: longest wait before the first retry.
        factor: growth of that wait per failed attempt.
        ceiling_ms: longest wait between two attempts.
        connect_timeout_s: time without a connection, since the last answer, after which the client gives up.
        stalls_max: connections in a row, per server, on which a server stops replying.

    Raises:
        TypeError: something else than a number.
        ValueError: a value out of range.
    """

    initial_ms: float = 100.0
    factor: float = 2.0
    ceiling_ms: float = 5_000.0
    connect_timeout_s: float = 30.0
    stalls_max: int = 2

    def __post_init__(self) -> None:
        require_numbers(self, Real, *(each.name for each in fields(self)))
        if self.initial_ms <= 0 or self.ceiling_ms < self.initial_ms or self.factor < 1:
            raise ValueError(f"backoff needs 0 < initial_ms <= ceiling_ms and factor >= 1: {self}")
        if self.connect_timeout_s < 0 or self.stalls_max < 1:
            raise ValueError(f"connect_timeout_s must be at least 0 and stalls_max at least 1: {self}")


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
