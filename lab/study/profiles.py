"""Profiles: how large a study is run. Rows of one table are compared within one profile only.

Everything here is *ours* unless a comment says otherwise: the paper trains 200 to 300 epochs on a GPU and
does not state the budget of its attacks.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.registry import make_attack
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.data.augment import PAPER_AUGMENTATION, Augmentation
from siftfunnel.lab.training.recipes import NATURAL, Limits


@dataclass(frozen=True)
class MeasureBudget:
    """How much the information figures may cost.

    Attributes:
        pictures: Pictures that critics train on.
        authors_epochs: Passes of the authors' MINE (their code: 100).
        steps: Steps of the uncapped MINE and of InfoNCE.
        latency_runs: Timed single-picture passes.
    """

    pictures: int
    authors_epochs: int
    steps: int
    latency_runs: int


@dataclass(frozen=True)
class Profile:
    """The size of a study.

    Attributes:
        name: As results write it.
        label: In words, as tables print it.
        widths: Width of each family's networks.
        input_size: Side of the pictures.
        limits: Pictures used of each part; None takes all.
        epochs: Passes of training, the same for every row.
        least_steps: Steps of training at least: rows of a small data set make more passes.
        batch_size: Pictures per step.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Decoupled weight decay.
        augmentation: Changes of the training pictures.
        attacked_pictures: Test pictures whose features are attacked, evenly spread over the classes.
        attacks: Attacks on every row.
        further_attacks: Attacks on the rows that ask for more.
        frames: Observations that an attacker averages where a defence draws noise.
        averaged: Attacks that are repeated with averaged observations.
        measure: Budget of the information figures.
    """

    name: str
    label: str
    widths: Mapping[str, int]
    input_size: int
    limits: Limits
    epochs: int
    attacked_pictures: int
    attacks: tuple[Attack, ...]
    further_attacks: tuple[Attack, ...]
    measure: MeasureBudget
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    augmentation: Augmentation = NATURAL
    least_steps: int = 0
    frames: int = 16
    averaged: tuple[str, ...] = ("rmle", "residual")

    def settings(self) -> dict[str, Any]:
        """Every field as JSON values, attacks as name and budget."""
        values = asdict(self)
        for group in ("attacks", "further_attacks"):
            values[group] = {attack.name: attack.budget() for attack in getattr(self, group)}
        return values


CPU_RESIDUAL = Residual(epochs=6, least_steps=1_500, batch=32, widths=(48, 24, 12), blocks=(4, 1, 0))


CPU_GENERATIVE: dict[str, Any] = {"epochs": 10, "least_steps": 700, "width": 32, "learning_rate": 1e-3}


def cpu_profile() -> Profile:
    """Two CPU cores: CIFAR-10 at its native 32x32, width 32, about twenty core-minutes a row."""
    return Profile(
        name="cpu",
        label="CPU profile: 32x32, width 32, 10,000 training pictures, 12 epochs, 256 attacked pictures",
        widths={"cnn": 32, "resnet18": 16, "vgg16": 16},
        input_size=32,
        limits=Limits(train=10_000, validation=2_000, auxiliary=10_000),
        epochs=12,
        least_steps=900,
        attacked_pictures=256,
        attacks=(
            make_attack("rmle-authors"),
            make_attack("rmle", iterations=250, restarts=1),
            make_attack("generative-black-box", **CPU_GENERATIVE),
            make_attack("generative-gray-box", **CPU_GENERATIVE),
            CPU_RESIDUAL,
        ),
        further_attacks=(
            make_attack("refined-rmle", start=CPU_RESIDUAL, iterations=150, restarts=1),
            make_attack("unet", epochs=2, least_steps=500),
            make_attack("deep-image-prior", iterations=150, channels=8),
            make_attack("fora", substitute_epochs=6, epochs=4, least_steps=1_000),
        ),
        measure=MeasureBudget(pictures=1_000, authors_epochs=4, steps=200, latency_runs=200),
    )


FULL_RESIDUAL = Residual(epochs=60, least_steps=20_000, blocks=(8, 1, 0))


def full_profile() -> Profile:
    """A GPU: 64x64, the paper's widths, all pictures."""
    return Profile(
        name="full",
        label="Full profile: 64x64, width 128, 36,000 training pictures, 60 epochs, 1,000 attacked pictures",
        widths={"cnn": 128, "resnet18": 64, "vgg16": 64},
        input_size=64,
        limits=Limits(),
        epochs=60,
        least_steps=10_000,
        attacked_pictures=1_000,
        attacks=(
            make_attack("rmle-authors"),
            make_attack("rmle", batch=250),
            make_attack("generative-black-box", least_steps=5_000),
            make_attack("generative-gray-box", least_steps=5_000),
            FULL_RESIDUAL,
        ),
        further_attacks=(
            make_attack("refined-rmle", start=FULL_RESIDUAL, batch=250),
            make_attack("unet", epochs=40, least_steps=4_000, widths=(96, 160, 256), blocks=2, batch=64),
            make_attack("deep-image-prior"),
            make_attack("fora", epochs=40, least_steps=8_000),
        ),
        measure=MeasureBudget(pictures=10_000, authors_epochs=100, steps=5_000, latency_runs=1_000),
        augmentation=PAPER_AUGMENTATION,
    )


PROFILES = {"cpu": cpu_profile, "full": full_profile}
"""Every profile by name."""


def profile(name: str) -> Profile:
    """The profile of that name; an unknown name lists the known ones."""
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}; known: {', '.join(PROFILES)}")
    return PROFILES[name]()
