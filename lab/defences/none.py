"""No defence: the unprotected network with cross-entropy."""

from dataclasses import dataclass
from typing import ClassVar

from siftfunnel.lab.defences.defence import Defence


@dataclass(frozen=True)
class NoDefence(Defence):
    """Plain cross-entropy; what every other row is compared with."""

    name: ClassVar[str] = "none"
    label: ClassVar[str] = "Unprotected"
    source: ClassVar[str] = "Yang et al., CCS 2019: the network of the attack that the paper builds on"
