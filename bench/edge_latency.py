"""How long the edge half takes: SiftFunnel against the unprotected network, interleaved on one thread.

Weights do not change how long a graph takes, so freshly initialised networks serve: no training is needed.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

COMPARED = ("cnn-siftfunnel", "cnn-unprotected")


def interleaved_medians_ms(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each call, taking turns so that a slow moment of the machine meets all of them.

    Args:
        calls: what to time, by name.
        rounds: timed turns of each call, after a tenth as many that are not timed.

    Example:
        >>> sorted(interleaved_medians_ms({"a": lambda: 1, "b": lambda: 2}, rounds=10))
        ['a', 'b']
    """
    times_ms: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-max(1, rounds // 10), rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if turn >= 0:
                times_ms[name].append((time.perf_counter() - started) * 1000)
    return {name: float(np.median(taken)) for name, taken in times_ms.items()}


def measure_edge_latency(*, width: int = 128, input_size: int = 64, rounds: int = 200) -> dict[str, Any]:
    """Median time of one picture through each exported edge half, and their ratio.

    Args:
        width: width n of both networks; the paper's is 128.
        input_size: side of the input in pixels.
        rounds: timed pictures per network.
    """
    import torch

    from lab.export import convert
    from lab.models.registry import build_network
    from lab.models.split import count_parameters
    from lab.sessions import OnnxModel

    noise = np.random.default_rng(0).standard_normal((1, 3, input_size, input_size))
    picture: NDArray[np.float32] = noise.astype(np.float32)
    calls, parameters = {}, {}
    for name in COMPARED:
        torch.manual_seed(0)
        network = build_network(name, width=width, input_size=input_size, num_classes=10).eval()
        model = OnnxModel(convert(network).edge_onnx)
        calls[name] = _bound(model, picture)
        parameters[name] = count_parameters(network.edge)
    medians = interleaved_medians_ms(calls, rounds)
    return {
        "width": width,
        "input_size": input_size,
        "threads": 1,
        "rounds": rounds,
        "edge_ms_p50": {name: round(value, 3) for name, value in medians.items()},
        "edge_parameters": parameters,
        "siftfunnel_to_unprotected": round(medians["cnn-siftfunnel"] / medians["cnn-unprotected"], 3),
    }


def _bound(
    model: Callable[[NDArray[np.float32]], object], picture: NDArray[np.float32]
) -> Callable[[], object]:
    return lambda: model(picture)
