"""Whether a search was wide enough and a training long enough, from what they say themselves; no PyTorch."""

from collections.abc import Mapping, Sequence
from typing import Any

TUNED = ("learning_rate", "tv_weight", "prior_weight", "anchor_weight")
WIDENING_FROM_ZERO = 4.0


def ends(best: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The settings of which ``best`` has the first or last value tried, each with the value beyond it.

    A step is the ratio of the last two values at that end. A setting that was not to choose has no end, and
    a weight of 0 is none either.

    Example:
        >>> grid = [{"learning_rate": rate, "whitened": True} for rate in (0.5, 1.0, 2.0)]
        >>> ends(grid[2], grid), ends(grid[1], grid)
        ({'learning_rate': 4.0}, {})
    """
    found = {}
    alike = [one for one in tried if one["whitened"] == best["whitened"]]
    for name in TUNED:
        values = sorted({one[name] for one in alike if name in one})
        if len(values) < 2 or best[name] not in (values[0], values[-1]) or best[name] == 0:
            continue
        neighbour = values[-2] if best[name] == values[-1] else values[1]
        found[name] = best[name] * (best[name] / neighbour if neighbour else WIDENING_FROM_ZERO)
    return found


def second_half_db(history: Sequence[Mapping[str, float]]) -> float | None:
    """Gain in dB on held-back pictures since the middle of a training; None for fewer than four passes.

    A training whose step size still has to fall looks worse in its middle than one of half the length ends,
    so this overestimates what half the budget costs: small is proof, large is not.

    Example:
        >>> round(second_half_db([{"held_back_psnr": db} for db in (10.0, 12.0, 12.5, 12.6)]), 3)
        0.6
    """
    curve = [entry["held_back_psnr"] for entry in history if "held_back_psnr" in entry]
    return float(max(curve) - max(curve[: len(curve) // 2])) if len(curve) >= 4 else None
