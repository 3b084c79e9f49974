"""AutoInvert: the frozen, named suite of attacks that study, audit, front and board all run.

    residual inverter ----> identity-seeking inverter        without gradients
          |
          '-------> rMLE from the inverter                   with gradients
    rMLE from the mean picture                               with gradients
    the paper's gray-box generator                           the layout of the edge half, too

Nothing of it is a parameter of who runs it: attacks, settings, the attacker's pictures and those under attack
belong to the suite, and a suite that changes counts its version up. White-box attacks know the noise that
they face and the quantiser's cell (``siftfunnel.lab.attacks.features``); where a defence draws noise, each
attack runs once on single observations and once on the mean of ``frames``, and the strongest of either is a
column of its own. Budgets differ in steps alone; how far ``fast`` is from the others is measured
(``siftfunnel.lab.evaluation.agreement``). Every setting is *ours*: the paper does not state its attacks'
budgets.

``fast``      a first look: two CPU minutes for a row of the study (CIFAR-10 at 32x32)
``standard``  tables and board: some ten
``thorough``  a figure that is to be relied on: some forty

Left out, with the figures that decided (five rows of the study before AutoInvert): the attacker without
queries (FORA) gets 14.0 dB where nothing protects, 9 dB behind the paper's generator, and 9.8 to 11.2 dB on
the four protected rows, where the mean picture has 12.8; the two-layer black-box generator is never ahead of
the gray-box one; rMLE as its authors released it gets 6.8 dB on every row, which measures its optimiser. All
can be run by name in an audit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.inverter_training import TrainedInverter
from siftfunnel.lab.attacks.registry import make_attack
from siftfunnel.lab.attacks.tuned import TunedAttack
from siftfunnel.lab.attacks.victim import Victim

Planned = tuple[Attack, int]
"""An attack, and how many observations of each picture it averages."""
Budgets = Mapping[str, Mapping[str, Any]]

AUTOINVERT, VERSION = "AutoInvert", 1
FULL_PIXELS = 64 * 64
LEAST_AUXILIARY, LEAST_ATTACKED = 500, 48
SMALLEST_BATCH, LEAST_TUNING = 8, 2
MORE_PASSES, MOST_PASSES = 2, 30
STEPS_A_PASS = 56
"""What an inverter of few passes makes of steps for each at least: as with 450 pictures in eights."""
CACHE_GB = 2.0


@dataclass(frozen=True)
class Suite:
    """What a subject is attacked with.

    Attributes:
        budget: How long: a key of ``SUITES``.
        attacks: In the order in which they run; one that starts from another's result comes after it.
        attacked: Pictures whose features are overheard.
        auxiliary: The attacker's own pictures; None takes all that there are.
        frames: Observations that an attacker averages where a defence draws noise.
        averaged: Attacks that are repeated with averaged observations then.
        name: As results write it.
        version: Counted up when anything of it changes, so that results of one version compare.
        is_fitted: Whether it was fitted to larger pictures, whose results compare among themselves alone.
    """

    budget: str
    attacks: tuple[Attack, ...]
    attacked: int = 128
    auxiliary: int | None = 10_000
    frames: int = 16
    averaged: tuple[str, ...] = ("residual", "rmle", "refined-rmle", "identity")
    name: str = AUTOINVERT
    version: int = VERSION
    is_fitted: bool = False

    @classmethod
    def of(cls, budget: str, attacks: Budgets, **more: Any) -> "Suite":
        """From the fields of each attack that are not its defaults, by the attack's name."""
        return cls(budget, linked([make_attack(key, **fields) for key, fields in attacks.items()]), **more)

    @property
    def title(self) -> str:
        """As people read it: ``AutoInvert v1, fast``."""
        return f"{self.name} v{self.version}, {self.budget}"

    @property
    def every(self) -> dict[str, Attack]:
        """All of its attacks by name."""
        return {attack.name: attack for attack in self.attacks}

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

    def at(self, height: int, width: int) -> "Suite":
        """The suite for pictures of this size; up to 64x64 pixels the same.

        Larger ones cost more each: fewer of them are attacked, in smaller batches, with more passes over what
        the attacker has.
        """
        share = FULL_PIXELS / (height * width)
        if share >= 1:
            return self
        return replace(
            self,
            auxiliary=fewer(self.auxiliary, share, LEAST_AUXILIARY),
            attacks=linked([_at_share(attack, share) for attack in self.attacks]),
            attacked=max(LEAST_ATTACKED, round(self.attacked * share)),
            is_fitted=True,
        )

    def to_json(self) -> dict[str, Any]:
        """Everything that identifies it, as results say it."""
        return {
            "name": self.name,
            "version": self.version,
            "budget": self.budget,
            "attacks": {attack.name: attack.budget() for attack in self.attacks},
            "attacked": self.attacked,
            "auxiliary": self.auxiliary,
            "frames": self.frames,
            "averaged": list(self.averaged),
            "is_fitted": self.is_fitted,
        }


def fewer(count: int | None, share: float, least: int) -> int | None:
    """A share of a number of pictures, at least so many of them; None stays all."""
    return None if count is None else min(count, max(least, round(count * share)))


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


def _autoinvert() -> tuple[Suite, ...]:
    """The three budgets: what an attack is stays the same, how long it goes on does not.

    Steps are floors, so that an attacker of few pictures makes more passes over them.
    """
    capacity = {"widths": (48, 24, 12), "blocks": (4, 1, 0), "batch": 32}
    paper = {"width": 32, "learning_rate": 1e-3}
    once: dict[str, Any] = {"spaces": ("whitened",), "restarts": 1}
    return (
        Suite.of(
            "fast",
            {
                "residual": {
                    "widths": (32, 16, 12),
                    "blocks": (2, 1, 0),
                    "batch": 32,
                    "epochs": 4,
                    "least_steps": 550,
                },
                "generative-gray-box": {**paper, "epochs": 4, "least_steps": 140},
                "rmle": {**once, "iterations": 100, "learning_rates": (0.2, 0.8)},
                "refined-rmle": {"iterations": 60, "restarts": 1, "tuning_pictures": 8},
                "identity": {"epochs": 1, "least_steps": 140, "recogniser_steps": 200},
            },
            auxiliary=5_000,
        ),
        Suite.of(
            "standard",
            {
                "residual": {**capacity, "epochs": 8, "least_steps": 2_200},
                "generative-gray-box": {**paper, "epochs": 10, "least_steps": 700},
                "rmle": {**once, "iterations": 300},
                "refined-rmle": {"iterations": 150, "restarts": 1},
                "identity": {"epochs": 3, "least_steps": 800, "recogniser_steps": 600},
            },
        ),
        Suite.of(
            "thorough",
            {
                "residual": {**capacity, "epochs": 30, "least_steps": 8_000},
                "generative-gray-box": {**paper, "epochs": 40, "least_steps": 2_800},
                "rmle": {"iterations": 1_000, "restarts": 2},
                "refined-rmle": {"iterations": 500, "restarts": 2},
                "identity": {"epochs": 8, "least_steps": 2_000, "recogniser_steps": 1_500},
            },
        ),
    )


SUITES: dict[str, Suite] = {suite.budget: suite for suite in _autoinvert()}
"""AutoInvert by budget, the shortest first."""


def suite(budget: str) -> Suite:
    """AutoInvert at that budget; an unknown name lists the known ones."""
    if budget not in SUITES:
        raise ValueError(f"unknown budget {budget!r} of {AUTOINVERT} v{VERSION}; known: {', '.join(SUITES)}")
    return SUITES[budget]
