"""What an attack is: ``fit`` on what the attacker owns, ``reconstruct`` from what he overhears.

Both work in batches, on CPU and GPU, inside a folder, and continue there after an interrupt. Attacks of one
victim share that folder's parent, so that an attack that starts from another's result finds it.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import Tensor

from siftfunnel.lab.attacks.victim import Victim

Access = Literal["white-box", "gray-box", "black-box", "no-query"]
"""white-box: gradients through the edge; gray-box: queries, and the edge's layout to shape the inverter;
black-box: queries on own pictures; no-query: overheard features and own pictures only."""

Show = Callable[[str], None]


@dataclass(frozen=True)
class Reconstruction:
    """What an attack made of a set of features.

    Attributes:
        x_NCHW: Pictures in [0, 1] on the CPU.
        details: What the attack says about itself, as JSON values: loss curves, feature loss reached, steps.
    """

    x_NCHW: Tensor
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attack:
    """Base of all attacks: a frozen dataclass whose fields are its budget and settings.

    Class attributes:
        name: As results and folders write it.
        label: As tables print it.
        access: What the attacker needs.
        kind: ``optimisation`` or ``inverter``: the family that sanity checks compare.
        source: Where it comes from.
        as_the_paper: Whether this is the paper's own attack with its settings, weaknesses included.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    access: ClassVar[Access]
    kind: ClassVar[Literal["optimisation", "inverter"]]
    source: ClassVar[str]
    as_the_paper: ClassVar[bool] = False

    def fit(self, victim: Victim, auxiliary_NHWC: Tensor, folder: Path, show: Show) -> Mapping[str, Any]:
        """Learn what there is to learn before features are overheard; continue where ``folder`` stands.

        Args:
            victim: The network under attack.
            auxiliary_NHWC: The attacker's own pictures, ``uint8``, none of them the target's.
            folder: Root of this victim's attacks; the attack works in ``folder / self.name``.
            show: Takes a line of progress.

        Returns:
            What was learned, as JSON values (epochs, curves, parameters); empty for pure optimisation.
        """
        return {}

    def reconstruct(self, victim: Victim, z_NCHW: Tensor, folder: Path, show: Show) -> Reconstruction:
        """Pictures from overheard features.

        Args:
            victim: The network under attack.
            z_NCHW: Overheard features, on any device.
            folder: As for ``fit``.
            show: Takes a line of progress.

        Raises:
            ValueError: the victim does not give the access that the attack needs.
        """
        raise NotImplementedError

    def budget(self) -> dict[str, Any]:
        """The fields as JSON values; an attack that it starts from is told by its name and budget."""
        starts = {each.name: getattr(self, each.name) for each in fields(self)}
        told = {
            key: {"name": start.name, **start.budget()}
            for key, start in starts.items()
            if isinstance(start, Attack)
        }
        return {**asdict(self), **told}


def require_white_box(attack: Attack, victim: Victim) -> None:
    """Refuse a victim without gradients."""
    if not victim.white_box:
        raise ValueError(
            f"attack {attack.name} needs gradients through the edge half; this victim can only be queried"
        )
