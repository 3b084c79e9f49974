"""The attacker's decoder: from a feature at the cut back to a picture in [0, 1].

    feature C x s x s -> standardise -> stem 3x3 -> residual blocks at s x s -> up x2 -> blocks -> up x2 ->
    3x3 -> sigmoid

One family for every bundle: the blocks and widths are the same, only the feature's channels differ, so that
an unprotected and a protected network face the same attacker.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from siftfunnel.lab.networks.layout import channels_last
from siftfunnel.lab.networks.residual import ResidualSum, conv3x3

LEAST_STD, LEAST_STD_SHARE = 1e-4, 0.01


@dataclass(frozen=True)
class DecoderSettings:
    """Size of a decoder.

    Attributes:
        widths: Channels at the feature's side, at twice and at four times that side.
        blocks: Residual blocks at each of the three.
    """

    widths: tuple[int, int, int] = (64, 32, 16)
    blocks: tuple[int, int, int] = (4, 1, 0)

    def __post_init__(self) -> None:
        if min(self.widths) < 1 or min(self.blocks) < 0:
            raise ValueError("decoder widths must be positive and block counts not negative")


class Standardise(nn.Module):
    """Shift and scale each channel by stored numbers: features can be a hundredth of the usual size."""

    scale: Tensor
    offset: Tensor

    def __init__(self, mean_C: Tensor, std_C: Tensor) -> None:
        super().__init__()
        # a channel that hardly ever moves must not be blown up, nor its scale leave half precision
        scale = 1 / std_C.clamp_min(max(LEAST_STD, float(std_C.max()) * LEAST_STD_SHARE))
        self.register_buffer("scale", scale.view(1, -1, 1, 1).clone())
        self.register_buffer("offset", (-mean_C * scale).view(1, -1, 1, 1).clone())

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """About zero mean and unit deviation per channel."""
        return x_NCHW * self.scale + self.offset


def residual_block(channels: int) -> ResidualSum:
    """``x + conv(relu(conv(x)))``, no normalisation: it blurs what a regression must keep."""
    last = conv3x3(channels, channels)
    # a block starts as the identity, which a deep stack without normalisation needs to learn fast
    nn.init.zeros_(last.weight)
    return ResidualSum(nn.Identity(), nn.Sequential(conv3x3(channels, channels), nn.ReLU(), last))


def upsample(in_channels: int, out_channels: int) -> nn.Sequential:
    """Double the side: a convolution to four times the channels, laid out as 2 x 2 pixels."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 4 * out_channels, kernel_size=3, padding=1), nn.PixelShuffle(2), nn.ReLU()
    )


def doublings_between(image_HW: tuple[int, int], feature_HW: tuple[int, int]) -> int:
    """How often the feature's sides must double to become the picture's, or just more than those.

    Raises:
        ValueError: no number of doublings does.

    Example:
        >>> doublings_between((64, 64), (16, 16)), doublings_between((227, 227), (57, 57))
        (2, 2)
    """
    (height, width), (side_h, side_w) = image_HW, feature_HW
    for doublings in range(max(height, width).bit_length() + 1):
        if (-(-height // 2**doublings), -(-width // 2**doublings)) == (side_h, side_w):
            return doublings
    raise ValueError(
        f"an inverter doubles the feature's side: {side_h}x{side_w} does not become {height}x{width} by "
        "a power of two; crop or resize the pictures"
    )


class Crop(nn.Module):
    """The upper left of a picture, where doubling led beyond its size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def extra_repr(self) -> str:
        """The size."""
        return f"{self.height}x{self.width}"

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """N x C x height x width."""
        return x_NCHW[:, :, : self.height, : self.width]


def cropped(network: nn.Module, image_HW: tuple[int, int], feature_HW: tuple[int, int]) -> nn.Module:
    """The network as it is where it gives the picture's size, else with what is too much cut off."""
    factor = 2 ** doublings_between(image_HW, feature_HW)
    if (feature_HW[0] * factor, feature_HW[1] * factor) == image_HW:
        return network
    return nn.Sequential(network, Crop(*image_HW))


SPREAD_DOUBLINGS = 3
"""A feature of one place is doubled so often at once: every place of the result has weights of its own."""


def stem(channels: int, width: int, doublings: int, *, is_point: bool) -> tuple[list[nn.Module], int]:
    """The first layers of an inverter, and the doublings that are left.

    Args:
        channels: Of the feature.
        width: Channels to make of them.
        doublings: From the feature to the picture.
        is_point: Whether the feature has one place only, such as a vector: a convolution that slides has
            nothing to slide over, and one that keeps its side would squeeze all values through ``width``.
    """
    if not is_point or doublings < SPREAD_DOUBLINGS:
        return [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU()], doublings
    factor = 2**SPREAD_DOUBLINGS
    spread = [nn.Conv2d(channels, width * factor**2, kernel_size=1), nn.PixelShuffle(factor), nn.ReLU()]
    return spread, doublings - SPREAD_DOUBLINGS


def build_decoder(
    mean_C: Tensor,
    std_C: Tensor,
    settings: DecoderSettings | None = None,
    doublings: int = 2,
    *,
    is_point: bool = False,
) -> nn.Sequential:
    """A decoder for features with these statistics.

    Args:
        mean_C: Mean of each of the feature's channels.
        std_C: Standard deviation of each.
        settings: Widths and blocks; beyond four times the feature's side the last ones repeat.
        doublings: The picture's side is the feature's times ``2 ** doublings``.
        is_point: Whether the feature has one place only; see ``stem``.
    """
    settings = settings or DecoderSettings()
    first, doublings = stem(len(mean_C), settings.widths[0], doublings, is_point=is_point)
    levels = [min(level, len(settings.widths) - 1) for level in range(doublings + 1)]
    widths = [settings.widths[level] for level in levels]
    blocks = [settings.blocks[level] for level in levels]
    layers: list[nn.Module] = [Standardise(mean_C, std_C), *first]
    for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        if level:
            layers.append(upsample(widths[level - 1], width))
        layers += [residual_block(width) for _ in range(count)]
    layers += [nn.Conv2d(widths[-1], 3, kernel_size=3, padding=1), nn.Sigmoid()]
    return channels_last(nn.Sequential(*layers))
