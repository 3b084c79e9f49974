"""DPSGD (Abadi et al., 2016): gradients clipped per picture, with noise; it protects the training pictures.

    g = (sum_i g_i min(1, C / |g_i|) + C s n) / B,  n ~ N(0, I)        cross-entropy

Nothing in it hides a feature from whoever receives it at inference; the paper lists it among its rows. The
network has group normalisation, since batch normalisation mixes the pictures of a batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from siftfunnel.lab.defences.none import NoDefence
from siftfunnel.lab.defences.private import epsilon_spent


@dataclass(frozen=True)
class DPSGD(NoDefence):
    """Cross-entropy under differentially private optimisation; ``private.py`` does the steps.

    The defaults spend epsilon = 7.96 at delta = 1e-5 on 10,000 pictures in 12 epochs of 78 batches of 128
    on average (sample rate 0.0128, 936 steps).

    Attributes:
        clip: Norm C to which each picture's gradient is clipped. The paper's is lost.
        noise_multiplier: The noise's standard deviation is C times this. The paper's is lost.
        delta: Probability with which the guarantee may fail. The paper's is lost; below 1 / pictures.
    """

    clip: float = 1.0
    noise_multiplier: float = 0.655
    delta: float = 1e-5

    name: ClassVar[str] = "dpsgd"
    label: ClassVar[str] = "DPSGD"
    source: ClassVar[str] = "Abadi et al., Deep learning with differential privacy, CCS 2016; Opacus"
    variant: ClassVar[str] = "groupnorm"
    origins: ClassVar[Mapping[str, str]] = {"clip": "ours", "noise_multiplier": "ours", "delta": "ours"}
    private: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.clip <= 0 or self.noise_multiplier < 0 or not 0 < self.delta < 1:
            raise ValueError(
                f"DPSGD needs a clip above 0, a noise multiplier from 0 and a delta in (0, 1), got {self}"
            )

    def epsilon(self, *, steps: int, sample_rate: float) -> float:
        """Privacy loss after that many Poisson-sampled steps, at this defence's delta."""
        return epsilon_spent(steps, sample_rate, self.noise_multiplier, self.delta)
