"""A high-capacity residual inverter, the same for every defence.

In the spirit of ResSFL's and CEM's ``res_normN8C64`` (Li et al., CVPR 2022; Xia et al., CVPR 2025): residual
blocks of 64 channels at the feature's side, then up to the picture. *Ours*: no normalisation but a
standardised input, pixel shuffle, and the loss mean log(MSE), which is mean PSNR up to sign and scale.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from siftfunnel.lab.attacks.attack import Access
from siftfunnel.lab.attacks.inverter_training import TrainedInverter, doublings_of, is_point
from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.lab.networks.decoder import DecoderSettings, build_decoder


@dataclass(frozen=True)
class Residual(TrainedInverter):
    """Residual blocks on the standardised feature, then doublings to the picture.

    Attributes:
        widths: Channels at the feature's side, at twice and at four times that side.
        blocks: Residual blocks at each of the three; the source has 8 at the feature's side, for a GPU.
    """

    epochs: int = 20
    batch: int = 16
    learning_rate: float = 1.5e-3
    widths: tuple[int, int, int] = (64, 32, 16)
    blocks: tuple[int, int, int] = (4, 1, 0)

    name: ClassVar[str] = "residual"
    label: ClassVar[str] = "Residual inverter"
    access: ClassVar[Access] = "black-box"
    source: ClassVar[str] = "after res_normN8C64 (ResSFL, CVPR 2022; CEM, CVPR 2025)"

    def build(self, victim: Victim, mean_C: Tensor, std_C: Tensor) -> nn.Module:
        """The decoder of ``siftfunnel.lab.networks.decoder`` at the victim's factor."""
        settings = DecoderSettings(self.widths, self.blocks)
        return build_decoder(mean_C, std_C, settings, doublings_of(victim), is_point=is_point(victim))
