"""NoPeek (Vepakomma et al., 2020): the direct ancestor of the paper's distance-correlation term.

L = cross-entropy + alpha * dCor^2(x, z)        on the unprotected network
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from siftfunnel.lab.defences.defence import Defence, Step
from siftfunnel.lab.defences.losses import Loss, distance_correlation_squared


@dataclass(frozen=True)
class NoPeek(Defence):
    """Penalise the squared distance correlation between pictures and features.

    Attributes:
        alpha: Weight of the penalty. 0.8 is the weight that SiftFunnel gives the same term (against 3.5 for
            the labels), so that the two rows differ in everything but this term's form.
    """

    alpha: float = 0.8

    name: ClassVar[str] = "nopeek"
    label: ClassVar[str] = "NoPeek"
    source: ClassVar[str] = "Vepakomma et al., NoPeek, ICDM workshops 2020"
    own_weight: ClassVar[tuple[str, ...]] = ("alpha",)
    origins: ClassVar[Mapping[str, str]] = {"alpha": "ours"}

    def loss(self, step: Step) -> Loss:
        """Cross-entropy and penalty."""
        entropy = step.cross_entropy
        dcor = distance_correlation_squared(step.x_NCHW, step.z_NCHW)
        return Loss(entropy + self.alpha * dcor, {"cross_entropy": entropy, "distance_correlation": dcor})
