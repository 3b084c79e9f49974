"""How much an audit attacks: which attacks with which settings. Everything here is ours.

``quick``  a few minutes on two CPU cores at 32x32: a first look, its sanity checks often ask for more
``cpu``    about an hour on two CPU cores at 32x32
``full``   a GPU

Pictures of more than 64x64 pixels cost more each: ``Budget.at`` then takes fewer of them, in smaller batches,
with more passes over what the attacker has. ``quick`` is then some 25 minutes of CPU at 224x224.
"""

from dataclasses import dataclass, replace
from typing import Any

from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.inverter_training import TrainedInverter
from siftfunnel.lab.attacks.tuned import TunedAttack
from siftfunnel.lab.evaluation.suite import SUITES, Suite, linked

FULL_PIXELS = 64 * 64
LEAST_AUXILIARY, LEAST_MEASURED, LEAST_PICTURES = 500, 200, 48
SMALLEST_BATCH, LEAST_TUNING = 8, 2
MORE_PASSES, MOST_PASSES = 2, 30
STEPS_A_PASS = 56
"""What an inverter of few passes makes of steps for each at least: as with 450 pictures in eights."""
CACHE_GB = 2.0


@dataclass(frozen=True)
class Budget:
    """The size of an audit.

    Attributes:
        name: As the command writes it.
        suite: The attacks.
        auxiliary: The attacker's own pictures; None takes all that there are.
        measured: Pictures on which accuracy and codecs are measured; None takes all.
        information_pictures: Pictures that the information figures' critic trains on.
        information_steps: Its training steps.
        by_heart_epochs: Passes in which an inverter must learn a few pictures by heart.
        pictures: Pictures to attack unless the user says how many.
        is_fitted: Whether it was fitted to larger pictures.
        half_pictures: Pictures on which an attack that descends per picture is repeated at half its budget.
    """

    name: str
    suite: Suite
    auxiliary: int | None
    measured: int | None = 2_000
    information_pictures: int = 2_000
    information_steps: int = 300
    by_heart_epochs: int = 60
    half_pictures: int = 64
    pictures: int = 256
    is_fitted: bool = False

    def at(self, height: int, width: int) -> "Budget":
        """The budget for pictures of this size; up to 64x64 pixels the same."""
        share = FULL_PIXELS / (height * width)
        if share >= 1:
            return self

        def fewer(count: int | None, least: int) -> int | None:
            return None if count is None else min(count, max(least, round(count * share)))

        return replace(
            self,
            auxiliary=fewer(self.auxiliary, LEAST_AUXILIARY),
            suite=replace(
                self.suite, attacks=linked([_at_share(attack, share) for attack in self.suite.attacks])
            ),
            measured=fewer(self.measured, LEAST_MEASURED),
            information_pictures=min(self.information_pictures, LEAST_AUXILIARY),
            half_pictures=min(self.half_pictures, LEAST_PICTURES),
            pictures=max(LEAST_PICTURES, round(self.pictures * share)),
            is_fitted=True,
        )


def _at_share(attack: Attack, share: float) -> Attack:
    """An attack for pictures of 1 / ``share`` times the pixels."""
    changed: dict[str, Any] = {}
    if hasattr(attack, "batch"):
        changed["batch"] = max(SMALLEST_BATCH, min(attack.batch, round(attack.batch * share)))
    if isinstance(attack, TunedAttack):
        changed["tuning_pictures"] = max(LEAST_TUNING, round(attack.tuning_pictures * share))
    if isinstance(attack, TrainedInverter):
        changed["cache_limit_gb"] = CACHE_GB
        if attack.epochs < MOST_PASSES:
            changed["epochs"] = MORE_PASSES * attack.epochs
            changed["least_steps"] = MORE_PASSES * attack.epochs * STEPS_A_PASS
    return replace(attack, **changed)


BUDGETS: dict[str, Budget] = {
    "quick": Budget(
        "quick",
        SUITES["audit-quick"],
        auxiliary=3_000,
        measured=1_000,
        information_pictures=1_000,
        information_steps=150,
    ),
    "cpu": Budget("cpu", SUITES["audit-cpu"], auxiliary=10_000),
    "full": Budget(
        "full",
        SUITES["audit-full"],
        auxiliary=None,
        measured=None,
        information_pictures=10_000,
        information_steps=3_000,
        by_heart_epochs=200,
        half_pictures=250,
    ),
}
"""Every budget by name."""


def budget(name: str) -> Budget:
    """The budget of that name; an unknown name lists the known ones."""
    if name not in BUDGETS:
        raise ValueError(f"unknown budget {name!r}; known: {', '.join(BUDGETS)}")
    return BUDGETS[name]
