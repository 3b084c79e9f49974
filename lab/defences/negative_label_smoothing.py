"""Negative label smoothing (Struppek et al., ICLR 2024): the labels' noise with its sign turned.

L = (1 - a) cross-entropy + a mean_k(-ln p_k),  a < 0
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from siftfunnel.lab.defences.defence import Defence, Step
from siftfunnel.lab.defences.losses import Loss


@dataclass(frozen=True)
class NegativeLabelSmoothing(Defence):
    """Cross-entropy with a negative share of uniform labels; it changes the loss only.

    Attributes:
        alpha: The share. The paper's is lost; -0.05 is the authors' choice in the original, from memory.
        start_share: Share of the training before the smoothing sets in: 50 of the original's 200 epochs.
        full_share: Share of the training from which on ``alpha`` is full, after a straight ramp: 75 of 200.
    """

    alpha: float = -0.05
    start_share: float = 0.25
    full_share: float = 0.375

    name: ClassVar[str] = "negative-label-smoothing"
    label: ClassVar[str] = "NLS"
    source: ClassVar[str] = "Struppek et al., Be careful what you smooth for, ICLR 2024"
    own_weight: ClassVar[tuple[str, ...]] = ("alpha",)
    origins: ClassVar[Mapping[str, str]] = {
        "alpha": "source",
        "start_share": "source",
        "full_share": "source",
    }

    def __post_init__(self) -> None:
        if not 0 <= self.start_share < self.full_share <= 1:
            raise ValueError(f"the ramp must begin before it ends, in [0, 1], got {self}")

    def smoothing(self, share_done: float) -> float:
        """The share ``a`` at a point of the training.

        Example:
            >>> [NegativeLabelSmoothing().smoothing(share) for share in (0.2, 0.3125, 0.5)]
            [0.0, -0.025, -0.05]
        """
        ramp = (share_done - self.start_share) / (self.full_share - self.start_share)
        return self.alpha * min(max(ramp, 0.0), 1.0)

    def loss(self, step: Step) -> Loss:
        """The mixed cross-entropy; ``uniform`` is the one against uniform labels."""
        a = self.smoothing(step.share_done)
        entropy = step.cross_entropy
        uniform = -step.logits_NK.log_softmax(dim=1).mean()
        return Loss((1 - a) * entropy + a * uniform, {"cross_entropy": entropy, "uniform": uniform})
