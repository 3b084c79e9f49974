"""The rows of the study: a data set, a family of networks and a defence, each under one name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from siftfunnel.lab.defences.defence import Defence
from siftfunnel.lab.defences.registry import DEFENCES, FROM_SCRATCH, make_defence
from siftfunnel.lab.study.sizes import Profile
from siftfunnel.lab.training.recipes import Recipe

EQUAL, WEIGHT = "-equal", "-weight"
ABLATIONS = {name: made for each in DEFENCES.values() for name, made in each.ablations().items()}
"""Every defence with a part of it switched off, by the end of the row's name."""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: ``<dataset>-<family>-<defence>`` and perhaps a suffix.
        dataset: Name in ``siftfunnel.lab.data.datasets.DATASETS``.
        family: Family of networks.
        defence: What is trained into the network.
        label_kind: ``category`` or ``identity``.
        epochs_factor: Training epochs relative to the profile's.
        stop_at_accuracy: Validation accuracy at which training ends, for comparisons at equal accuracy.
        pictures_per_epoch: Finer epochs, so that training can end near an accuracy.
    """

    name: str
    dataset: str
    family: str
    defence: Defence
    label_kind: str = "category"
    epochs_factor: float = 1.0
    stop_at_accuracy: float | None = None
    pictures_per_epoch: int | None = None

    def recipe(self, profile: Profile, seed: int = 1) -> Recipe:
        """The training run of this row in a profile."""
        return Recipe(
            name=self.name,
            bundle=self.name,
            dataset=self.dataset,
            label_kind=self.label_kind,
            family=self.family,
            defence=self.defence,
            width=profile.widths[self.family],
            input_size=profile.input_size,
            epochs=round(profile.epochs * self.epochs_factor),
            least_steps=profile.least_steps,
            batch_size=profile.batch_size,
            learning_rate=profile.learning_rate,
            weight_decay=profile.weight_decay,
            augmentation=profile.augmentation,
            limits=profile.limits,
            pictures_per_epoch=self.pictures_per_epoch,
            stop_at_accuracy=self.stop_at_accuracy,
            seed=seed,
        )


def _rows() -> dict[str, Row]:
    made = [DEFENCES[name] for name in FROM_SCRATCH]
    rows = [Row(f"cifar10-cnn-{each.name}", "cifar10", "cnn", each()) for each in made]
    rows += [
        Row(f"cifar10-cnn-{name}", "cifar10", "cnn", defence)
        for tried in (ABLATIONS, *(each.variations() for each in made))
        for name, defence in tried.items()
    ]
    rows += [
        Row(f"cifar10-resnet18-{each.name}", "cifar10", "resnet18", each.for_family("resnet18"))
        for each in made
    ]
    rows += [
        Row(f"cifar10-vgg16-{name}", "cifar10", "vgg16", make_defence(name))
        for name in ("none", "siftfunnel")
    ]
    rows += [
        Row(f"{dataset}-cnn-{name}", dataset, "cnn", make_defence(name), label_kind="identity")
        for dataset in ("facescrub", "faces", "faces-other-domain")
        for name in FROM_SCRATCH
    ]
    rows += [Row(f"chest-cnn-{name}", "chest", "cnn", make_defence(name)) for name in FROM_SCRATCH]
    return {row.name: row for row in rows}


ROWS: dict[str, Row] = _rows()
"""Every row by name."""


def row(name: str) -> Row:
    """The row of that name.

    ``<row>-equal@0.50`` is the row stopped at a validation accuracy of 0.50, ``<row>-weight@4`` the row whose
    defence has four times its own weight.
    """
    base, _, wanted = name.partition("@")
    kind = next((kind for kind in (EQUAL, WEIGHT) if wanted and base.endswith(kind)), "")
    base = base.removesuffix(kind) if kind else name
    if base not in ROWS:
        raise ValueError(f"unknown row {base!r}; `siftfunnel lab recipes` lists the known ones")
    if not kind:
        return ROWS[base]
    try:
        value = float(wanted)
    except ValueError:
        raise ValueError(f"{name}: after @ stands a number, got {wanted!r}") from None
    return stopped(ROWS[base], value) if kind == EQUAL else reweighted(ROWS[base], value)


TABLE_2 = tuple(f"cifar10-cnn-{name}" for name in FROM_SCRATCH)
TABLE_4 = tuple(f"cifar10-resnet18-{name}" for name in FROM_SCRATCH)
GROUPS: dict[str, tuple[str, ...]] = {
    "table2": TABLE_2,
    "table3": ("cifar10-cnn-siftfunnel", "cifar10-resnet18-siftfunnel", "cifar10-vgg16-siftfunnel"),
    "table4": TABLE_4,
    "table5": tuple(f"facescrub-cnn-{name}" for name in FROM_SCRATCH),
    "ablations": tuple(f"cifar10-cnn-{name}" for name in ABLATIONS),
}
"""Names that stand for several rows at the command line."""


def expand(names: Sequence[str]) -> list[str]:
    """Replace each name of a group by its rows."""
    return [member for name in names for member in GROUPS.get(name, (name,))]


def stopped(base: Row, accuracy: float) -> Row:
    """A row trained up to an accuracy and no further, with an eighth of the pictures per epoch."""
    if not 0 < accuracy < 1:
        raise ValueError(f"the accuracy to stop at is a share between 0 and 1, got {accuracy}")
    return replace(
        base,
        name=base.name + EQUAL,
        stop_at_accuracy=accuracy,
        pictures_per_epoch=1_280,
        epochs_factor=24.0,
    )


def reweighted(base: Row, factor: float) -> Row:
    """A row whose defence has so many times its own weight, for fronts.

    Example:
        >>> reweighted(ROWS["cifar10-cnn-nopeek"], 4.0).name
        'cifar10-cnn-nopeek-weight-4'
    """
    return replace(base, name=f"{base.name}{WEIGHT}-{factor:g}", defence=base.defence.weighted(factor))
