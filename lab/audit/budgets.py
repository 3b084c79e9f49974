"""How much an audit attacks: which attacks with which settings. Everything here is ours.

``quick``  a few minutes on two CPU cores at 32x32: a first look, its sanity checks often ask for more
``cpu``    about an hour on two CPU cores at 32x32
``full``   a GPU
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AttackFields = Mapping[str, Mapping[str, Any]]


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
