"""Suites: frozen, named lists of attacks with their budgets and how often each picture is overheard.

Every setting here is *ours*: the paper does not state the budget of its attacks. Studies, audits and fronts
run suites; how many pictures they attack, and what the attacker owns, they say themselves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.registry import make_attack
from siftfunnel.lab.attacks.victim import Victim

Planned = tuple[Attack, int]
"""An attack, and how many observations of each picture it averages."""
Budgets = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Suite:
    """What a subject is attacked with.

    Attributes:
        name: As results write it.
        attacks: In the order in which they run; one that starts from another's result comes after it.
        version: Counted up when anything else of it changes, so that results of one version compare.
        further: Attacks for subjects that are worth more.
        frames: Observations that an attacker averages where a defence draws noise.
        averaged: Attacks that are repeated with averaged observations then.
    """

    name: str
    attacks: tuple[Attack, ...]
    version: int = 1
    further: tuple[Attack, ...] = ()
    frames: int = 16
    averaged: tuple[str, ...] = ("rmle", "residual")

    @classmethod
    def of(cls, name: str, attacks: Budgets, further: Budgets | None = None, **more: Any) -> "Suite":
        """From the fields of each attack that are not its defaults, by the attack's name."""
        budgets = {**attacks, **(further or {})}
        made = linked([make_attack(key, **fields) for key, fields in budgets.items()])
        return cls(name, made[: len(attacks)], further=made[len(attacks) :], **more)

    @property
    def every(self) -> dict[str, Attack]:
        """All of its attacks by name."""
        return {attack.name: attack for attack in (*self.attacks, *self.further)}

    def attack(self, name: str) -> Attack:
        """The suite's attack of that name, or else one with its defaults that starts from the suite's."""
        known = self.every
        return known[name] if name in known else linked([*known.values(), make_attack(name)])[-1]

    def planned(self, victim: Victim, attacks: Iterable[Attack] | None = None) -> list[Planned]:
        """What runs on a victim, in order: each attack, then those that average observations of noise.

        Args:
            victim: The network under attack.
            attacks: Others than ``attacks``.
        """
        chosen = list(self.attacks if attacks is None else attacks)
        repeated = [attack for attack in chosen if victim.stochastic and attack.name in self.averaged]
        return [*((attack, 1) for attack in chosen), *((attack, self.frames) for attack in repeated)]


def linked(attacks: Sequence[Attack]) -> tuple[Attack, ...]:
    """The same attacks, each that starts from another's result starting from the one among them."""
    by_name = {attack.name: attack for attack in attacks}

    def started(attack: Attack) -> Attack:
        start = getattr(attack, "start", None)
        found = by_name.get(start.name) if isinstance(start, Attack) else None
        return attack if found is None else replace(attack, start=found)  # type: ignore[call-arg]

    return tuple(started(attack) for attack in attacks)


def key_of(attack: Attack, frames: int) -> str:
    """Name of an entry: the attack's, and how many looks it averages if more than one."""
    return attack.name if frames == 1 else f"{attack.name}-averaged-{frames}"


def _declared() -> tuple[Suite, ...]:
    few_passes = {"epochs": 10, "least_steps": 700, "width": 32, "learning_rate": 1e-3}
    small = {"width": 32, "learning_rate": 1e-3}
    return (
        Suite.of(
            "study-cpu",
            {
                "rmle-authors": {},
                "rmle": {"iterations": 250, "restarts": 1},
                "generative-black-box": few_passes,
                "generative-gray-box": few_passes,
                "residual": {
                    "epochs": 6,
                    "least_steps": 1_500,
                    "batch": 32,
                    "widths": (48, 24, 12),
                    "blocks": (4, 1, 0),
                },
            },
            {
                "refined-rmle": {"iterations": 150, "restarts": 1},
                "unet": {"epochs": 2, "least_steps": 500},
                "deep-image-prior": {"iterations": 150, "channels": 8},
                "fora": {"substitute_epochs": 6, "epochs": 4, "least_steps": 1_000},
            },
        ),
        Suite.of(
            "study-full",
            {
                "rmle-authors": {},
                "rmle": {"batch": 250},
                "generative-black-box": {"least_steps": 5_000},
                "generative-gray-box": {"least_steps": 5_000},
                "residual": {"epochs": 60, "least_steps": 20_000, "blocks": (8, 1, 0)},
            },
            {
                "refined-rmle": {"batch": 250},
                "unet": {
                    "epochs": 40,
                    "least_steps": 4_000,
                    "widths": (96, 160, 256),
                    "blocks": 2,
                    "batch": 64,
                },
                "deep-image-prior": {},
                "fora": {"epochs": 40, "least_steps": 8_000},
            },
        ),
        Suite.of(
            "audit-quick",
            {
                "generative-black-box": {"epochs": 6, **small},
                "residual": {"epochs": 4, "blocks": (4, 1, 0)},
                "rmle": {"iterations": 80, "restarts": 2},
            },
        ),
        Suite.of(
            "audit-cpu",
            {
                "generative-black-box": {"epochs": 15, **small},
                "generative-gray-box": {"epochs": 15, **small},
                "residual": {"epochs": 10, "blocks": (4, 1, 0)},
                "unet": {"epochs": 4},
                "rmle-authors": {},
                "rmle": {"iterations": 200, "restarts": 2},
                "refined-rmle": {"iterations": 100},
            },
        ),
        Suite.of(
            "audit-full",
            {
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
            averaged=("rmle", "residual", "unet", "refined-rmle"),
        ),
    )


SUITES: dict[str, Suite] = {suite.name: suite for suite in _declared()}
"""Every declared suite by name."""
