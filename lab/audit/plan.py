"""Which attacks an audit runs on a target, and why it leaves out the others."""

from collections.abc import Sequence

from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.registry import ATTACKS
from siftfunnel.lab.audit.budgets import Budget
from siftfunnel.lab.evaluation.attacking import Skipped
from siftfunnel.lab.evaluation.suite import Planned
from siftfunnel.lab.targets.target import Target


def plan_attacks(
    target: Target, budget: Budget, chosen: Sequence[str]
) -> tuple[list[Planned], list[Skipped]]:
    """What runs, in order, and what does not.

    Args:
        target: What is audited.
        budget: Its suite runs unless others are chosen; its settings apply to the attacks that it knows.
        chosen: Names that the user gave; empty for the budget's.

    Raises:
        ValueError: an unknown name, or nothing is left to run.
    """
    unknown = [name for name in chosen if name not in ATTACKS]
    if unknown:
        raise ValueError(f"unknown attack {unknown[0]!r}; known: {', '.join(ATTACKS)}")
    own = [attack.name for attack in budget.suite.attacks]
    wanted = chosen or own
    runs: list[Attack] = []
    skipped: list[Skipped] = []
    # in the suite's order: an attack that starts from another's result comes after it
    for name in dict.fromkeys([*own, *ATTACKS]):
        attack = budget.suite.attack(name)
        reason = _obstacle(attack, target)
        if reason is None and name not in wanted:
            reason = "not among --attacks" if chosen else f"not part of {budget.suite.title}"
        if reason is None:
            runs.append(attack)
        else:
            skipped.append(Skipped(name, attack.label, reason))
    if not runs:
        told = "; ".join(f"{entry.name}: {entry.reason}" for entry in skipped if entry.name in wanted)
        raise ValueError(f"no attack is left to run ({told})")
    return budget.suite.planned(target.victim, runs), skipped


def _obstacle(attack: Attack, target: Target) -> str | None:
    if attack.access == "white-box" and not target.victim.white_box:
        return "it needs gradients, and this edge half can only be queried"
    if attack.access == "gray-box" and target.kind == "foreign":
        return "it is shaped after the edge half's layout, which is not known"
    return None
