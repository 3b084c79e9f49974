"""One direction of a link as a pure function: when does a packet that is handed in now arrive, if at all?

    transmitted = max(now, transmitter free) + size / rate
    arrival     = max(transmitted + delay + jitter, arrival of the packet before)

A packet is lost after it was transmitted, as in the air: it has used the link.
"""

import random
from collections import deque
from typing import Literal

from siftfunnel.bench.links.profiles import Direction, LinkProfile

Fate = Literal["lost", "queue full"]


class Pipe:
    """Rate, queue, delay, jitter and loss of one direction.

    Args:
        direction: Its figures.
        rng: Draws jitter and loss.

    Example:
        >>> pipe = Pipe(Direction(rate_kbit_s=8, delay_ms=100), random.Random(1))
        >>> pipe.admit(0.0, 1000), pipe.admit(0.0, 1000)
        (1.1, 2.1)
    """

    def __init__(self, direction: Direction, rng: random.Random) -> None:
        self._direction = direction
        self._bytes_per_s = None if direction.rate_kbit_s is None else direction.rate_kbit_s * 125
        self._rng = rng
        self._free_s = 0.0
        self._last_arrival_s = 0.0
        self._waiting_until_s: deque[float] = deque()

    def admit(self, now_s: float, size_bytes: int) -> float | Fate:
        """Take a packet; its arrival in seconds of the same clock, or why it never arrives."""
        transmitted_s = now_s
        if self._bytes_per_s is not None:
            waiting = self._waiting_until_s
            while waiting and waiting[0] <= now_s:
                waiting.popleft()
            if len(waiting) > self._direction.queue_packets:
                return "queue full"
            transmitted_s = max(now_s, self._free_s) + size_bytes / self._bytes_per_s
            self._free_s = transmitted_s
            waiting.append(transmitted_s)
        if self._direction.loss and self._rng.random() < self._direction.loss:
            return "lost"
        delay_ms = self._direction.delay_ms
        if self._direction.jitter_ms:
            delay_ms += self._rng.uniform(-1, 1) * self._direction.jitter_ms
        self._last_arrival_s = max(transmitted_s + delay_ms / 1000, self._last_arrival_s)
        return self._last_arrival_s


def pipes(profile: LinkProfile, seed: int) -> tuple[Pipe, Pipe]:
    """Both directions of a link, up and down, each with randomness of its own."""
    up, down = (
        Pipe(direction, random.Random(f"{seed} {name}"))
        for name, direction in (("up", profile.up), ("down", profile.down))
    )
    return up, down
