"""How long one frame takes: medians over frames, the calls taking turns."""

import time
from collections.abc import Callable, Mapping

import numpy as np

ROUNDS = 300
WARM_UP = 20

Timed = Callable[[int], object]
"""Does the work on the frame of that number."""


def interleaved_medians_us(
    calls: Mapping[str, Timed], *, frames: int, rounds: int = ROUNDS
) -> dict[str, float]:
    """Median microseconds of each call; a slow moment of the machine meets all of them.

    Args:
        calls: What to time, by name; each gets the number of a frame, the same for all in one round.
        frames: How many frames there are; rounds go through them again and again.
        rounds: Timed turns of each call, after a few that are not timed.

    Example:
        >>> sorted(interleaved_medians_us({"a": str, "b": repr}, frames=2, rounds=3))
        ['a', 'b']
    """
    taken_ns: dict[str, list[int]] = {name: [] for name in calls}
    for turn in range(-min(WARM_UP, rounds), rounds):
        for name, call in calls.items():
            started = time.perf_counter_ns()
            call(turn % frames)
            if turn >= 0:
                taken_ns[name].append(time.perf_counter_ns() - started)
    return {name: round(float(np.median(taken)) / 1000, 1) for name, taken in taken_ns.items()}
