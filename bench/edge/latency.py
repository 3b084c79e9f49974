"""How long the edge half takes: SiftFunnel against the unprotected network, interleaved on one thread.

Weights do not change how long a graph takes, so freshly initialised networks serve: no training is needed.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Name = TypeVar("Name")


def interleaved_times_ms(
    calls: Mapping[Name, Callable[[], object]], rounds: int
) -> dict[Name, NDArray[np.float64]]:
    """Milliseconds of each call, taking turns so that a slow moment of the machine meets all of them.

    Args:
        calls: what to time, by name.
        rounds: timed turns of each call, after a tenth as many that are not timed.

    Example:
        >>> {name: len(times) for name, times in interleaved_times_ms({"a": dict, "b": list}, 10).items()}
        {'a': 10, 'b': 10}
    """
    times_ms: dict[Name, list[float]] = {name: [] for name in calls}
    for turn in range(-max(1, rounds // 10), rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if turn >= 0:
                times_ms[name].append((time.perf_counter() - started) * 1000)
    return {name: np.array(taken) for name, taken in times_ms.items()}


def quartiles_ms(times_ms: NDArray[np.float64]) -> dict[str, float]:
    """Lower quartile, median and upper quartile.

    Example:
        >>> quartiles_ms(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
        {'p25': 2.0, 'p50': 3.0, 'p75': 4.0}
    """
    return {f"p{share}": round(float(np.percentile(times_ms, share)), 4) for share in (25, 50, 75)}


def measure_edge(*, width: int = 128, input_size: int = 64, rounds: int = 200) -> dict[str, Any]:
    """One picture through each edge half: quartiles, ratios, and each operator's share.

    Args:
        width: width n of both networks; the paper's is 128.
        input_size: side of the input in pixels.
        rounds: timed pictures per graph.
    """
    from siftfunnel.bench.edge.operators import operator_times
    from siftfunnel.bench.edge.variants import edge_variants
    from siftfunnel.lab.onnx_runner import Runner

    graphs, parameters = edge_variants(width=width, input_size=input_size)
    picture: NDArray[np.float32] = np.random.default_rng(0).standard_normal(
        (1, 3, input_size, input_size), dtype=np.float32
    )
    calls = {name: _bound(Runner(graph), picture) for name, graph in graphs.items()}
    times = {name: quartiles_ms(taken) for name, taken in interleaved_times_ms(calls, rounds).items()}
    return {
        "width": width,
        "input_size": input_size,
        "threads": 1,
        "rounds": rounds,
        "edge_ms": times,
        "edge_parameters": parameters,
        "edge_bytes": {name: len(graph) for name, graph in graphs.items()},
        "siftfunnel_to_unprotected": {
            variant: round(
                times[f"cnn-siftfunnel/{variant}"]["p50"] / times[f"cnn-unprotected/{variant}"]["p50"], 3
            )
            for variant in ("plain", "ours", "int8")
        },
        "operators": {name: operator_times(graph, picture, rounds) for name, graph in graphs.items()},
    }


def _bound(
    model: Callable[[NDArray[np.float32]], object], picture: NDArray[np.float32]
) -> Callable[[], object]:
    return lambda: model(picture)
