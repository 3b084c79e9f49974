"""What has to be said aloud of a result: a figure that cannot be trusted says so itself.

``learned-nothing``   the network answers no better than its commonest class
``lost-to-guessing``  an attack restores no better than the mean picture
``edge-of-grid``      a setting was chosen at the end of what was tried
``not-converged``     twice the budget gets more, or a trained inverter was still gaining when it ended
``white-box-weaker``  the best attack with gradients restores less than the best without
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from siftfunnel.lab.attacks.convergence import ends, second_half_db
from siftfunnel.lab.evaluation.checks import WORTH_MENTIONING_DB, white_box_not_weaker
from siftfunnel.lab.metrics.intervals import paired_difference

Flag = dict[str, str]


def flags_of(result: Mapping[str, Any]) -> list[Flag]:
    """The flags of a row.

    Args:
        result: The row's result; what it does not have yet is not flagged.

    Returns:
        One ``{"about", "kind", "text"}`` each; ``about`` is ``training``, ``suite`` or an attack's key.
    """
    found = []
    accuracy = result.get("accuracy", {})
    if accuracy.get("learned_nothing"):
        text = (
            f"learned nothing: {accuracy['test']:.1%} right of {accuracy['pictures']} pictures, and the "
            f"commonest answer alone would be for {accuracy['largest_class']:.1%}"
        )
        found.append({"about": "training", "kind": "learned-nothing", "text": text})
    guess = result.get("references", {}).get("mean_image", {}).get("psnr_db_per_image")
    for key, attack in result.get("attacks", {}).items():
        found += [{"about": key, "kind": kind, "text": text} for kind, text in _of_attack(attack, guess)]
    gradients = white_box_not_weaker(_scored(result))
    if gradients.status == "FAIL":
        text = f"white box weaker than black box, which measures the optimiser: {gradients.finding}"
        found.append({"about": "suite", "kind": "white-box-weaker", "text": text})
    return found


def _scored(result: Mapping[str, Any]) -> dict[str, Any]:
    """The attacks that have figures of each picture."""
    attacks = result.get("attacks", {})
    return {
        key: one for key, one in attacks.items() if "access" in one and "psnr_db_per_image" in one["scores"]
    }


def _of_attack(attack: Mapping[str, Any], guess_N: Sequence[float] | None) -> Iterator[tuple[str, str]]:
    own_N = attack.get("scores", {}).get("psnr_db_per_image")
    if own_N is not None and guess_N is not None and len(own_N) == len(guess_N):
        above = paired_difference(np.array(own_N), np.array(guess_N))
        low, high = above["ci95"]
        if low <= 0:
            text = f"{above['mean']:+.2f} dB [{low:+.2f}, {high:+.2f}]"
            yield "lost-to-guessing", f"restores no better than always showing the mean picture: {text}"
    fit = attack.get("fit", {})
    if scores := fit.get("scores"):
        best = max(scores, key=lambda one: float(one["psnr_db"]))
        if edges := ends(best, scores):
            yield "edge-of-grid", f"the best setting is the last tried of {', '.join(edges)}"
    if (gain := fit.get("twice_as_long_db") or 0.0) >= WORTH_MENTIONING_DB:
        yield "not-converged", f"twice the steps get {gain:.2f} dB more on the attacker's own pictures"
    if (gain := second_half_db(fit.get("history", [])) or 0.0) >= WORTH_MENTIONING_DB:
        yield (
            "not-converged",
            f"not shown to have converged: the second half of its passes gained {gain:.2f} dB",
        )
