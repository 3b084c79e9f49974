"""What has to be said aloud of a result: a figure that cannot be trusted says so itself.

``learned-nothing``   the network answers no better than its commonest class
``lost-to-guessing``  an attack restores no better than the mean picture
``edge-of-grid``      a setting was chosen at the end of what was tried
``not-converged``     twice the budget gets more, or a trained inverter was still gaining when it ended
"""

from collections.abc import Iterator, Mapping
from typing import Any

WORTH_MENTIONING_DB = 0.1

Flag = dict[str, str]


def flags_of(accuracy: Mapping[str, Any] | None, attacks: Mapping[str, Mapping[str, Any]]) -> list[Flag]:
    """The flags of a row.

    Args:
        accuracy: The result's ``accuracy``, or None before it is measured.
        attacks: Its attacks by key; an attack that an older version ran says less of itself.

    Returns:
        One ``{"about", "kind", "text"}`` each; ``about`` is ``training`` or an attack's key.
    """
    found = []
    if accuracy is not None and accuracy.get("learned_nothing"):
        text = (
            f"learned nothing: {accuracy['test']:.1%} right of {accuracy['pictures']} pictures, and the "
            f"commonest answer alone would be for {accuracy['largest_class']:.1%}"
        )
        found.append({"about": "training", "kind": "learned-nothing", "text": text})
    for key, attack in attacks.items():
        found += [{"about": key, "kind": kind, "text": text} for kind, text in _of_attack(attack)]
    return found


def _of_attack(attack: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    above = attack.get("above_mean_picture")
    if above is not None and above["ci95"][0] <= 0:
        yield (
            "lost-to-guessing",
            f"restores no better than the mean picture: {above['mean']:+.2f} dB "
            f"[{above['ci95'][0]:+.2f}, {above['ci95'][1]:+.2f}]",
        )
    fit = attack.get("fit", {})
    if edges := fit.get("edges"):
        yield "edge-of-grid", f"chosen at the end of what was tried: {', '.join(edges)}"
    if (gain := fit.get("twice_as_long_db") or 0.0) >= WORTH_MENTIONING_DB:
        yield "not-converged", f"twice the steps get {gain:.2f} dB more on the attacker's own pictures"
    if (gain := fit.get("second_half_db") or 0.0) >= WORTH_MENTIONING_DB:
        yield (
            "not-converged",
            f"not shown to have converged: the second half of the training gained {gain:.2f} dB",
        )
