"""What an attacker holds of the network under attack."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from siftfunnel.lab.graphs.folding import folded_copy
from siftfunnel.lab.networks.layout import channels_last
from siftfunnel.lab.networks.split import SplitNetwork

BATCH = 250
_PIXELS_AT_ONCE = BATCH * 64 * 64
_FEWEST_AT_ONCE = 4

Stage = Callable[[Tensor], Tensor]


def at_once(image_shape: Sequence[int]) -> int:
    """How many pictures go through a network in one piece: ``BATCH``, fewer of more than 64x64 pixels.

    Example:
        >>> at_once((3, 64, 64)), at_once((3, 224, 224))
        (250, 20)
    """
    return max(_FEWEST_AT_ONCE, min(BATCH, _PIXELS_AT_ONCE // (image_shape[-2] * image_shape[-1])))


@dataclass(frozen=True)
class Lift:
    """What the attacker makes of an overheard feature before he inverts it, because the cloud half begins so.

    Attributes:
        module: Feature maps to tensor; linear, frozen.
        shape: (C, h, w) of the tensor.
        says: In words, for the report.
    """

    module: nn.Module
    shape: tuple[int, int, int]
    says: str


@dataclass(frozen=True)
class Victim:
    """An edge half under attack, in the attacker's hands (Kerckhoffs: everything but the picture is public).

    Pictures are floats in [0, 1], N x 3 x H x W; normalisation happens inside, as on the device.

    Attributes:
        edge: Normalised pictures to features, without noise. Differentiable when ``white_box``.
        stage: What the device does to a feature before it sends it; draws fresh noise at every call.
        mean: Normalisation, per channel.
        std: Normalisation, per channel.
        image_shape: (3, H, W).
        feature_shape: (C, h, w).
        device: Where ``edge`` computes.
        white_box: Whether gradients reach the picture through ``edge``.
        stochastic: Whether ``stage`` or ``edge`` draws noise.
        noisy_edge: Whether ``edge`` itself does: its features are then the mean of ``frames`` looks.
        cloud: Features to logits, or None where the attacker does not have it.
        frames: Observations of the same picture that the attacker averages; 1 is a single look.
        lift: The cloud half's first linear layer, where an inverter does better on what it gives.
        gain: Factor that makes the mean of many observations the clean feature (1 / (1 - r) for dropout).
    """

    edge: Callable[[Tensor], Tensor]
    stage: Stage
    mean: Sequence[float]
    std: Sequence[float]
    image_shape: tuple[int, int, int]
    feature_shape: tuple[int, int, int]
    device: torch.device
    white_box: bool = True
    stochastic: bool = False
    noisy_edge: bool = False
    cloud: Callable[[Tensor], Tensor] | None = None
    frames: int = 1
    gain: float = 1.0
    lift: Lift | None = None

    @property
    def lifted_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of what an inverter is trained on."""
        return self.feature_shape if self.lift is None else self.lift.shape

    def lifted(self, z_NCHW: Tensor) -> Tensor:
        """What an inverter is trained on, of overheard features."""
        if self.lift is None:
            return z_NCHW
        lifted: Tensor = self.lift.module(z_NCHW)
        return lifted

    def features(self, x_NCHW: Tensor) -> Tensor:
        """Clean features of pictures in [0, 1]; differentiable when ``white_box``."""
        mean = torch.tensor(self.mean, device=x_NCHW.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=x_NCHW.device).view(1, -1, 1, 1)
        normalised = (x_NCHW - mean) / std
        if not self.noisy_edge:
            return self.edge(normalised)
        return torch.stack([self.edge(normalised) for _ in range(self.frames)]).mean(0)

    def transmit(self, z_NCHW: Tensor) -> Tensor:
        """What an eavesdropper sees of clean features: noise added, and averaged over ``frames``."""
        if not self.stochastic:
            return self.stage(z_NCHW)
        total = self.stage(z_NCHW)
        for _ in range(self.frames - 1):
            total = total + self.stage(z_NCHW)
        scale = 1.0 if self.frames == 1 else self.gain / self.frames
        return total * scale

    def observe(self, x_NCHW: Tensor) -> Tensor:
        """What an eavesdropper sees of pictures."""
        return self.transmit(self.features(x_NCHW))

    def averaging(self, frames: int) -> "Victim":
        """The same victim before an attacker who overhears each picture ``frames`` times and averages."""
        if frames < 1:
            raise ValueError(f"an attacker averages one frame or more, got {frames}")
        return replace(self, frames=frames)

    @torch.no_grad()
    def features_of_set(self, images_NHWC: Tensor) -> Tensor:
        """Clean features of ``uint8`` pictures N x H x W x 3, batch by batch, on ``device``."""
        return torch.cat(
            [
                self.features(to_floats(part.to(self.device)))
                for part in torch.split(images_NHWC, at_once(self.image_shape))
            ]
        )


def to_floats(images_NHWC: Tensor) -> Tensor:
    """``uint8`` N x H x W x 3 to floats in [0, 1], N x 3 x H x W."""
    return images_NHWC.permute(0, 3, 1, 2).float() / 255


def victim_of_network(
    network: SplitNetwork, *, mean: Sequence[float], std: Sequence[float], device: torch.device
) -> Victim:
    """The white-box victim of a trained network, frozen and in evaluation mode.

    The edge is folded as for export, which changes rounding only: a descent takes 0.4 of the time on a CPU.
    """
    network = network.to(device).eval().requires_grad_(False)
    stage = network.stage
    size = network.input_size
    return Victim(
        edge=channels_last(folded_copy(network.edge).to(device)),
        stage=stage,
        mean=mean,
        std=std,
        image_shape=(3, size, size),
        feature_shape=network.feature_shape,
        device=device,
        stochastic=bool(getattr(stage, "stochastic", False)),
        cloud=network.cloud,
        gain=float(getattr(stage, "gain", 1.0)),
    )
