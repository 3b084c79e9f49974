"""Profiles: how large a study is run. Rows of one table are compared within one profile only.

Everything here is *ours* unless a comment says otherwise: the paper trains 200 to 300 epochs on a GPU and
does not state the budget of its attacks.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from siftfunnel.lab.data.augment import PAPER_AUGMENTATION, Augmentation
from siftfunnel.lab.evaluation.suite import Suite, suite
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
        suite: What every row is attacked with; its pictures under attack are evenly spread over the classes.
        measure: Budget of the information figures.
    """

    name: str
    label: str
    widths: Mapping[str, int]
    input_size: int
    limits: Limits
    epochs: int
    suite: Suite
    measure: MeasureBudget
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    augmentation: Augmentation = NATURAL
    least_steps: int = 0

    def settings(self) -> dict[str, Any]:
        """Every field but the suite, which results tell beside them, as JSON values."""
        values = asdict(replace(self, suite=None))  # type: ignore[arg-type]
        del values["suite"]
        return values | {"attacked_pictures": self.suite.attacked}

    def under(self, budget: str) -> "Profile":
        """The same study under AutoInvert at another budget."""
        return replace(self, suite=suite(budget).at(self.input_size, self.input_size))


PROFILES: dict[str, Profile] = {
    "brief": Profile(
        name="brief",
        label="Brief profile: 32x32, width 32, 10,000 training pictures, 4 epochs, AutoInvert fast",
        widths={"cnn": 32, "resnet18": 16, "vgg16": 16},
        input_size=32,
        limits=Limits(train=10_000, validation=2_000, auxiliary=10_000),
        epochs=4,
        least_steps=600,
        batch_size=64,
        suite=suite("fast"),
        measure=MeasureBudget(pictures=500, authors_epochs=2, steps=100, latency_runs=100),
    ),
    "cpu": Profile(
        name="cpu",
        label="CPU profile: 32x32, width 32, 10,000 training pictures, 12 epochs",
        widths={"cnn": 32, "resnet18": 16, "vgg16": 16},
        input_size=32,
        limits=Limits(train=10_000, validation=2_000, auxiliary=10_000),
        epochs=12,
        least_steps=900,
        suite=suite("standard"),
        measure=MeasureBudget(pictures=1_000, authors_epochs=4, steps=200, latency_runs=200),
    ),
    "full": Profile(
        name="full",
        label="Full profile: 64x64, width 128, 36,000 training pictures, 60 epochs",
        widths={"cnn": 128, "resnet18": 64, "vgg16": 64},
        input_size=64,
        limits=Limits(),
        epochs=60,
        least_steps=10_000,
        suite=suite("thorough"),
        measure=MeasureBudget(pictures=10_000, authors_epochs=100, steps=5_000, latency_runs=1_000),
        augmentation=PAPER_AUGMENTATION,
    ),
}
"""Every profile by name: for minutes a row on one CPU core, for two cores, and for a GPU."""


def profile(name: str) -> Profile:
    """The profile of that name; an unknown name lists the known ones."""
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}; known: {', '.join(PROFILES)}")
    return PROFILES[name]
