"""How much an audit attacks: which attacks with which settings. Everything here is ours.

``quick``  a few minutes on two CPU cores at 32x32: a first look, its sanity checks often ask for more
``cpu``    about an hour on two CPU cores at 32x32
``full``   a GPU

Pictures of more than 64x64 pixels cost more each: ``Budget.at`` then takes fewer of them, in smaller batches,
with more passes over what the attacker has. ``quick`` is then some 25 minutes of CPU at 224x224.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

AttackFields = Mapping[str, Mapping[str, Any]]


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
        auxiliary: The attacker's own pictures; None takes all that there are.
        attacks: Attacks by name, in the order in which they run, with the fields that are not their defaults.
        measured: Pictures on which accuracy and codecs are measured; None takes all.
        information_pictures: Pictures that the information figures' critic trains on.
        information_steps: Its training steps.
        frames: Observations that an attacker averages where a defence draws noise.
        averaged: Attacks that are repeated with averaged observations then.
        by_heart_epochs: Passes in which an inverter must learn a few pictures by heart.
        pictures: Pictures to attack unless the user says how many.
        is_fitted: Whether it was fitted to larger pictures.
        half_pictures: Pictures on which an attack that descends per picture is repeated at half its budget.
    """

    name: str
    auxiliary: int | None
    attacks: AttackFields
    measured: int | None = 2_000
    information_pictures: int = 2_000
    information_steps: int = 300
    frames: int = 16
    averaged: tuple[str, ...] = ("rmle", "residual")
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
            attacks={name: _at_share(name, fields, share) for name, fields in self.attacks.items()},
            measured=fewer(self.measured, LEAST_MEASURED),
            information_pictures=min(self.information_pictures, LEAST_AUXILIARY),
            half_pictures=min(self.half_pictures, LEAST_PICTURES),
            pictures=max(LEAST_PICTURES, round(self.pictures * share)),
            is_fitted=True,
        )


def _at_share(name: str, fields: Mapping[str, Any], share: float) -> dict[str, Any]:
    """An attack's fields for pictures of 1 / ``share`` times the pixels."""
    # the command line reads budgets before PyTorch is needed
    from siftfunnel.lab.attacks.inverter_training import TrainedInverter
    from siftfunnel.lab.attacks.registry import make_attack
    from siftfunnel.lab.attacks.tuned import TunedAttack

    attack = make_attack(name, **fields)
    changed = dict(fields)
    if hasattr(attack, "batch"):
        changed["batch"] = max(SMALLEST_BATCH, min(attack.batch, round(attack.batch * share)))
    if isinstance(attack, TunedAttack):
        changed["tuning_pictures"] = max(LEAST_TUNING, round(attack.tuning_pictures * share))
    if isinstance(attack, TrainedInverter):
        changed["cache_limit_gb"] = CACHE_GB
        if attack.epochs < MOST_PASSES:
            changed["epochs"] = MORE_PASSES * attack.epochs
            changed["least_steps"] = MORE_PASSES * attack.epochs * STEPS_A_PASS
    return changed


def quick() -> Budget:
    """A first look."""
    return Budget(
        name="quick",
        auxiliary=3_000,
        attacks={
            "generative-black-box": {"epochs": 6, "width": 32, "learning_rate": 1e-3},
            "residual": {"epochs": 4, "blocks": (4, 1, 0)},
            "rmle": {"iterations": 80, "restarts": 2},
        },
        measured=1_000,
        information_pictures=1_000,
        information_steps=150,
    )


def cpu() -> Budget:
    """An evening on a laptop."""
    return Budget(
        name="cpu",
        auxiliary=10_000,
        attacks={
            "generative-black-box": {"epochs": 15, "width": 32, "learning_rate": 1e-3},
            "generative-gray-box": {"epochs": 15, "width": 32, "learning_rate": 1e-3},
            "residual": {"epochs": 10, "blocks": (4, 1, 0)},
            "unet": {"epochs": 4},
            "rmle-authors": {},
            "rmle": {"iterations": 200, "restarts": 2},
            "refined-rmle": {"iterations": 100},
        },
    )


def full() -> Budget:
    """Everything, on a GPU."""
    return Budget(
        name="full",
        auxiliary=None,
        attacks={
            "generative-black-box": {},
            "generative-gray-box": {},
            "residual": {"epochs": 60},
            "unet": {"epochs": 60},
            "rmle-authors": {},
            "rmle": {"iterations": 2_000, "restarts": 3, "batch": 250},
            "refined-rmle": {"iterations": 1_000, "batch": 250},
            "deep-image-prior": {},
            "fora": {},
        },
        measured=None,
        information_pictures=10_000,
        information_steps=3_000,
        averaged=("rmle", "residual", "unet", "refined-rmle"),
        by_heart_epochs=200,
        half_pictures=250,
    )


BUDGETS = {"quick": quick, "cpu": cpu, "full": full}
"""Every budget by name."""


def budget(name: str) -> Budget:
    """The budget of that name; an unknown name lists the known ones."""
    if name not in BUDGETS:
        raise ValueError(f"unknown budget {name!r}; known: {', '.join(BUDGETS)}")
    return BUDGETS[name]()
