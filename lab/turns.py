"""Calls timed in turns, so that a slow moment of the machine meets all of them."""

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import cycle
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Name = TypeVar("Name")
Value = TypeVar("Value")


def interleaved_times_ms(
    calls: Mapping[Name, Callable[[], object]], rounds: int, warm_up: int | None = None
) -> dict[Name, NDArray[np.float64]]:
    """Milliseconds of each call, taking turns so that a slow moment of the machine meets all of them.

    Args:
        calls: what to time, by name.
        rounds: timed turns of each call.
        warm_up: turns before that, which are not timed; None takes a tenth as many, one at least.

    Example:
        >>> {name: len(times) for name, times in interleaved_times_ms({"a": dict, "b": list}, 10).items()}
        {'a': 10, 'b': 10}
    """
    times_ms: dict[Name, list[float]] = {name: [] for name in calls}
    for turn in range(-(max(1, rounds // 10) if warm_up is None else warm_up), rounds):
        for name, call in calls.items():
            started_ns = time.perf_counter_ns()
            call()
            if turn >= 0:
                times_ms[name].append((time.perf_counter_ns() - started_ns) / 1e6)
    return {name: np.array(taken) for name, taken in times_ms.items()}


def on_each(call: Callable[[Value], object], values: Iterable[Value]) -> Callable[[], object]:
    """A call that takes the next value every time, again and again.

    Example:
        >>> doubled = on_each(lambda value: 2 * value, [1, 2])
        >>> doubled(), doubled(), doubled()
        (2, 4, 2)
    """
    following = cycle(values)
    return lambda: call(next(following))


def quartiles_ms(times_ms: NDArray[np.float64]) -> dict[str, float]:
    """Lower quartile, median and upper quartile.

    Example:
        >>> quartiles_ms(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
        {'p25': 2.0, 'p50': 3.0, 'p75': 4.0}
    """
    return {f"p{share}": round(float(np.percentile(times_ms, share)), 4) for share in (25, 50, 75)}
