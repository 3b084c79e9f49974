"""The funnel's loss step against a literal reading of the formulas: time and peak memory, side by side.

The literal reading is what the released code does: all differences between pictures as one N x N x d tensor
for the distances, and the correlation of every pair of channels from explicit means and deviations. Both
give the same value, which is checked before anything is timed.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from siftfunnel.bench.children import asked, child, tell
from siftfunnel.bench.output import add_out, write_json
from siftfunnel.lab.turns import interleaved_times_ms

BATCH, PICTURE, FEATURE = 128, (3, 64, 64), (12, 16, 16)
"""The paper's batch, picture and funnel feature: 12,288 and 3,072 values."""
WEIGHTS = (0.8, 0.6, 5e-3)
TOLERANCE = 1e-3


def add_loss_step_parser(verbs: Any) -> None:
    """Add `loss-step` to the verbs of `bench`."""
    parser = verbs.add_parser(
        "loss-step",
        help="the funnel's loss step against a literal reading of its formulas (needs the extra lab)",
        description="Times both interleaved on one thread and measures the peak memory of one step of each.",
    )
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each (5)")
    add_out(parser)
    parser.set_defaults(run=run_loss_step)


def run_loss_step(args: argparse.Namespace) -> int:
    """Measure the loss step and write one JSON object."""
    from siftfunnel.lab.provenance import provenance

    write_json({"provenance": provenance(), "loss_step": measure_loss_step(rounds=args.rounds)}, args.out)
    return 0


def _tensors(batch: int, feature: tuple[int, int, int]) -> tuple[Any, Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, *PICTURE, generator=generator)
    z = torch.randn(batch, *feature, generator=generator).relu().requires_grad_(True)
    return x, z


def _ours(x: Any, z: Any) -> Any:
    from siftfunnel.lab.defences.losses import channel_correlation, distance_correlation_squared, l1_magnitude

    dcor, pearson, l1 = WEIGHTS
    return dcor * distance_correlation_squared(x, z) + pearson * channel_correlation(z) + l1 * l1_magnitude(z)


def _literal_distances(values: Any) -> Any:
    import torch

    rows = values.flatten(1)
    difference = rows[:, None, :] - rows[None, :, :]
    distances = (difference.square().sum(dim=2) + 1e-10).sqrt()
    return distances * (1 - torch.eye(len(rows)))


def _centred(a: Any) -> Any:
    return a - a.mean(0, keepdim=True) - a.mean(1, keepdim=True) + a.mean()


def _literal_pearson(z: Any) -> Any:
    import torch

    rows = z.flatten(2)
    total = torch.zeros(())
    channels = rows.shape[1]
    for i in range(channels):
        for j in range(channels):
            a, b = (rows[:, k] - rows[:, k].mean(1, keepdim=True) for k in (i, j))
            covariance = (a * b).mean(1)
            deviations = ((a * a).mean(1) + 1e-10).sqrt() * ((b * b).mean(1) + 1e-10).sqrt()
            total = total + (covariance / deviations).square().mean()
    return total / channels**2


def _literal(x: Any, z: Any) -> Any:
    dcor, pearson, l1 = WEIGHTS
    a, b = _centred(_literal_distances(x)), _centred(_literal_distances(z))
    correlation = (a * b).mean() / ((a * a).mean().sqrt() * (b * b).mean().sqrt())
    return dcor * correlation + pearson * _literal_pearson(z) + l1 * z.abs().mean()


LOSSES: dict[str, Callable[[Any, Any], Any]] = {"ours": _ours, "literal": _literal}


def peak_resident_bytes() -> int:
    """This process's peak resident memory, from /proc: getrusage's starts at the parent's own peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status has no VmHWM; the peak memory can only be measured on Linux")


def tell_peak_memory(name: str, batch: int, feature: tuple[int, int, int]) -> None:
    """In a process of its own: the growth of its peak memory by one step."""
    import torch

    torch.set_num_threads(1)
    x, z = _tensors(batch, feature)
    _ours(x[:4], z[:4]).backward()
    before = peak_resident_bytes()
    LOSSES[name](x, z).backward()
    tell(bytes=peak_resident_bytes() - before)


def measure_loss_step(
    *, batch: int = BATCH, feature: tuple[int, int, int] = FEATURE, rounds: int = 5
) -> dict[str, Any]:
    """Median time of a forward and backward step of both readings, their peak memory and the ratios.

    Args:
        batch: Pictures per step.
        feature: Shape of one feature; the picture is the paper's.
        rounds: Timed steps of each, interleaved.

    Raises:
        AssertionError: the two readings disagree.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x, z = _tensors(batch, feature)
        values = {name: float(loss(x, z).detach()) for name, loss in LOSSES.items()}
        assert abs(values["ours"] - values["literal"]) < TOLERANCE, values
        steps = {name: _step(loss, x, z) for name, loss in LOSSES.items()}
        times_ms = interleaved_times_ms(steps, rounds=rounds)
        medians = {name: float(np.median(taken_ms)) for name, taken_ms in times_ms.items()}
    finally:
        torch.set_num_threads(threads)
    memory = {
        name: int(asked(child(tell_peak_memory, name=name, batch=batch, feature=feature))["bytes"])
        for name in LOSSES
    }
    return {
        "batch": batch,
        "picture_values": int(np.prod(PICTURE)),
        "feature_values": int(np.prod(feature)),
        "threads": 1,
        "rounds": rounds,
        "step_ms_p50": {name: round(value, 2) for name, value in medians.items()},
        "peak_memory_bytes": memory,
        "literal_to_ours_time": round(medians["literal"] / medians["ours"], 1),
        "literal_to_ours_memory": round(memory["literal"] / max(1, memory["ours"]), 1),
    }


def _step(loss: Callable[[Any, Any], Any], x: Any, z: Any) -> Callable[[], object]:
    def step() -> None:
        z.grad = None
        loss(x, z).backward()

    return step
