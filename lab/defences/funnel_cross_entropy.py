"""The funnel trained with cross-entropy alone: what the narrow network does without the privacy terms.

Not in the paper. Without this row nobody can tell what Eq. 15 adds to the shape of the network.
"""

from dataclasses import dataclass
from typing import ClassVar

from siftfunnel.lab.defences.defence import Defence


@dataclass(frozen=True)
class FunnelCrossEntropy(Defence):
    """SiftFunnel's network, the unprotected network's loss."""

    name: ClassVar[str] = "funnel-cross-entropy"
    label: ClassVar[str] = "Funnel, cross-entropy only"
    source: ClassVar[str] = "ours: the ablation that the paper lacks"
    variant: ClassVar[str] = "siftfunnel"
