"""How much an audit measures beside its attacks, which are AutoInvert's of the same name.

``fast``      some minutes on two CPU cores at 32x32: a first look, its sanity checks often ask for more
``standard``  less than an hour
``thorough``  hours, or a GPU

Pictures of more than 64x64 pixels cost more each: ``Budget.at`` then takes fewer of them, in smaller batches,
with more passes over what the attacker has (``Suite.at``). ``fast`` is then some 25 minutes of CPU at
224x224.
"""

from dataclasses import dataclass, replace

from siftfunnel.lab.evaluation.suite import FULL_PIXELS, LEAST_AUXILIARY, Suite, fewer, suite

LEAST_MEASURED, LEAST_PICTURES = 200, 48
OLD_NAMES = {"quick": "fast", "cpu": "standard", "full": "thorough"}
"""What budgets were called before AutoInvert; commands take these names for the new ones."""


@dataclass(frozen=True)
class Budget:
    """The size of an audit.

    Attributes:
        name: As the command writes it.
        suite: The attacks.
        measured: Pictures on which accuracy and codecs are measured; None takes all.
        information_pictures: Pictures that the information figures' critic trains on.
        information_steps: Its training steps.
        has_curve: Whether the leak is also measured with fewer of the attacker's pictures.
        by_heart_epochs: Passes in which an inverter must learn a few pictures by heart.
        half_pictures: Pictures on which an attack that descends per picture is repeated at half its budget.
    """

    name: str
    suite: Suite
    measured: int | None = 2_000
    information_pictures: int = 2_000
    information_steps: int = 300
    by_heart_epochs: int = 60
    has_curve: bool = True
    half_pictures: int = 64

    @property
    def auxiliary(self) -> int | None:
        """The attacker's own pictures; None takes all that there are."""
        return self.suite.auxiliary

    @property
    def pictures(self) -> int:
        """Pictures to attack unless the user says how many."""
        return self.suite.attacked

    @property
    def is_fitted(self) -> bool:
        """Whether it was fitted to larger pictures."""
        return self.suite.is_fitted

    def at(self, height: int, width: int) -> "Budget":
        """The budget for pictures of this size; up to 64x64 pixels the same."""
        share = FULL_PIXELS / (height * width)
        if share >= 1:
            return self
        return replace(
            self,
            suite=self.suite.at(height, width),
            measured=fewer(self.measured, share, LEAST_MEASURED),
            information_pictures=min(self.information_pictures, LEAST_AUXILIARY),
            half_pictures=min(self.half_pictures, LEAST_PICTURES),
        )


BUDGETS: dict[str, Budget] = {
    "fast": Budget(
        "fast",
        suite("fast"),
        measured=1_000,
        information_pictures=1_000,
        information_steps=100,
        by_heart_epochs=40,
        has_curve=False,
    ),
    "standard": Budget("standard", suite("standard")),
    "thorough": Budget(
        "thorough",
        suite("thorough"),
        measured=None,
        information_pictures=10_000,
        information_steps=2_000,
        by_heart_epochs=200,
        half_pictures=128,
    ),
}
"""Every budget by name."""


def budget(name: str) -> Budget:
    """The budget of that name; an unknown name lists the known ones."""
    name = OLD_NAMES.get(name, name)
    if name not in BUDGETS:
        raise ValueError(f"unknown budget {name!r}; known: {', '.join(BUDGETS)}")
    return BUDGETS[name]
