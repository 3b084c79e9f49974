"""Guarded: a rate-trained neck that an inverter, trained beside it, fails to undo. Ours.

    min over edge, cloud, steps   max over inverter      KL(labels || prediction) + price bits(z') - weight D
    D = mean over pictures of ln |inverter(z') - x|^2

The inverter is an attacker's own, smaller: it learns on what is sent, and its gradient reaches the edge with
its sign turned (Ganin and Lempitsky, arXiv 1409.7495; against inverters ResSFL, Li et al., CVPR 2022), in one
pass. What it pushes out of the feature no longer costs bits, and what bits are spent on has to serve the
label: the two pull the same way. Fresh attackers, not this one, say how much is left.

Noise before the rounding is optional. From scratch it is the same on every channel, which are all alike;
where training goes on from other weights, ``allocation.py`` finds each channel's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from siftfunnel.lab.defences.allocation import allocated_sigmas
from siftfunnel.lab.defences.defence import Defence, Step
from siftfunnel.lab.defences.gaussian_noise import FixedChannelNoise
from siftfunnel.lab.defences.losses import Loss, LossWeights
from siftfunnel.lab.defences.quantiser import RateQuantiser
from siftfunnel.lab.defences.siftfunnel_rate import SiftFunnelRate, rate_stage
from siftfunnel.lab.networks.canonical import Oriented, Standardised
from siftfunnel.lab.networks.decoder import DecoderSettings, build_decoder, doublings_between
from siftfunnel.lab.networks.reversal import ReversedGradient
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.shared.manifest import EdgeStage

LEAST_ERROR = 1e-6


@dataclass(frozen=True)
class LabelsOnly(LossWeights):
    """Weights of Eq. 15 that leave its first term alone, at 1 and without smoothing."""

    kl: float = 1.0
    distance_correlation: float = 0.0
    channel_correlation: float = 0.0
    l1: float = 0.0
    smoothing: float = 0.0


class NoisyQuantiser(RateQuantiser):
    """A quantiser of features with noise; see ``RateQuantiser`` for the other arguments.

    Args:
        sigma: Deviation of the noise, the same for each channel at first.
    """

    stochastic = True

    def __init__(self, channels: int, height: int, width: int, sigma: float, **more: Any) -> None:
        super().__init__(channels, height, width, **more)
        self.noise = FixedChannelNoise([sigma] * channels)

    def forward(self, z_NCHW: Tensor) -> Tensor:
        """What the cloud gets of the feature with fresh noise."""
        return super().forward(self.noise(z_NCHW))


def turned(z: Tensor, weight: float) -> Tensor:
    """``z``, so that whoever lowers a loss of it raises ``weight`` times that loss before it.

    Example:
        >>> z = torch.ones(1, requires_grad=True)
        >>> turned(z, 0.5).sum().backward()
        >>> z.grad.tolist()
        [-0.5]
    """
    made: Tensor = ReversedGradient.apply(z, weight)  # type: ignore[no-untyped-call]
    return made


@dataclass(frozen=True)
class Guarded(SiftFunnelRate):
    """A rate-trained network against an inverter.

    Attributes:
        adversary: Weight of the inverter's failure, of the mean over pictures of the logarithm of its error.
        adversary_widths: The inverter's channels at the feature's side, at twice and at four times that.
        adversary_blocks: Its residual blocks there.
        standardise: Whether the edge begins by taking mean colour and contrast out of the picture.
        orient: Whether it begins by turning the picture to one of its two orientations.
        noise: Deviation of the noise on every channel, or what does the same harm; 0 for none.
    """

    payload_bytes: tuple[float, ...] = (78.0,)
    shares: tuple[float, ...] = (1.0,)
    price_speed: float = 0.02
    first_steps: tuple[float, float] = (0.6, 0.6)
    first_log_price: float = -8.0
    weights: LossWeights = field(default_factory=LabelsOnly)
    adversary: float = 0.3
    adversary_widths: tuple[int, int, int] = (32, 16, 8)
    adversary_blocks: tuple[int, int, int] = (1, 0, 0)
    standardise: bool = False
    orient: bool = False
    noise: float = 0.0

    name: ClassVar[str] = "guarded"
    label: ClassVar[str] = "Guarded, rate-trained"
    source: ClassVar[str] = "ours, after ResSFL (CVPR 2022); see guarded.py"
    variant: ClassVar[str] = "slim"
    goes_on: ClassVar[bool] = False
    own_weight: ClassVar[tuple[str, ...]] = ("adversary",)
    origins: ClassVar[Mapping[str, str]] = {
        **SiftFunnelRate.origins,
        "weights": "ours",
        "adversary": "ours",
        "adversary_widths": "ours",
        "adversary_blocks": "ours",
        "standardise": "ours",
        "orient": "ours",
        "noise": "ours",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adversary < 0 or self.noise < 0:
            raise ValueError("the adversary's weight and the noise are 0 or more")

    @classmethod
    def variations(cls) -> Mapping[str, Defence]:
        """Along the front: no adversary, more of it, a price that begins near nothing, canonical pictures."""
        return {
            "guarded-without-adversary": cls(adversary=0.0),
            "guarded-1": cls(adversary=1.0),
            "guarded-gentle": cls(first_log_price=-11.0),
            "guarded-canonical": cls(standardise=True, orient=True),
        }

    def furnish(self, network: SplitNetwork) -> None:
        """Put the quantiser at the cut, the inverter beside the network, the standardisation before it."""
        super().furnish(network)
        channels, height, width = network.feature_shape
        stage = rate_stage(network)
        stage.set_steps(torch.linspace(*self.first_steps, stage.points)[:, None].expand(-1, channels))
        for wanted, layer in ((self.standardise, Standardised), (self.orient, Oriented)):
            if wanted:
                network.edge.insert(0, layer())
        size = network.input_size
        decoder = build_decoder(
            torch.zeros(channels),
            torch.ones(channels),
            DecoderSettings(self.adversary_widths, self.adversary_blocks),
            doublings_between((size, size), (height, width)),
        )
        # the pictures that a loss sees are normalised: no sigmoid at the end
        network.companion = nn.Sequential(nn.BatchNorm2d(channels, affine=False), *list(decoder)[:-1])

    def quantiser(self, network: SplitNetwork) -> RateQuantiser:
        """With its noise, if there is any."""
        settings = self.quantiser_settings()
        if not self.noise:
            return RateQuantiser(*network.feature_shape, **settings)
        return NoisyQuantiser(*network.feature_shape, self.noise, **settings)

    def start(self, network: SplitNetwork, x_NCHW: Tensor) -> None:
        """Set the first steps, and let the certificate divide the noise among the channels."""
        super().start(network, x_NCHW)
        if isinstance(network.stage, NoisyQuantiser):
            sigmas_C = allocated_sigmas(network.edge, network.cloud, x_NCHW, self.noise)
            network.stage.noise.sigmas_C.copy_(sigmas_C)

    def edge_stages(self, network: SplitNetwork) -> tuple[EdgeStage, ...]:
        """The noise as a manifest names it; the rounding is the codec's."""
        stage = network.stage
        return (stage.noise.as_manifest(),) if isinstance(stage, NoisyQuantiser) else ()

    def loss(self, step: Step) -> Loss:
        """Labels, price, and the inverter's error, whose gradient turns where the inverter begins."""
        made = super().loss(step)
        assert step.network.companion is not None
        guess_NCHW = step.network.companion(turned(step.z_NCHW, self.adversary))
        error = (guess_NCHW - step.x_NCHW).square().mean(dim=(1, 2, 3))
        inverter = (error + LEAST_ERROR).log().mean()
        return Loss(made.total + inverter, {**made.parts, "inverter": inverter})
