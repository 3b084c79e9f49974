"""The attacker's decoder: from a feature at the cut back to a picture in [0, 1].

    feature C x s x s -> standardise -> stem 3x3 -> residual blocks at s x s -> up x2 -> blocks -> up x2 ->
    3x3 -> sigmoid

One family for every bundle: the blocks and widths are the same, only the feature's channels differ, so that
an unprotected and a protected network face the same attacker.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from siftfunnel.lab.models.layout import channels_last

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


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))``, no normalisation: it blurs what a regression must keep."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        # a block starts as the identity, which a deep stack without normalisation needs to learn fast
        nn.init.zeros_(last.weight)
        self.body = nn.Sequential(nn.Conv2d(channels, channels, kernel_size=3, padding=1), nn.ReLU(), last)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The shape stays."""
        sum_NCHW: Tensor = x_NCHW + self.body(x_NCHW)
        return sum_NCHW


def upsample(in_channels: int, out_channels: int) -> nn.Sequential:
    """Double the side: a convolution to four times the channels, laid out as 2 x 2 pixels."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 4 * out_channels, kernel_size=3, padding=1), nn.PixelShuffle(2), nn.ReLU()
    )


def doublings_between(image_HW: tuple[int, int], feature_HW: tuple[int, int]) -> int:
    """How often the feature's side must double to become the picture's; 0 where they are equal.

    Raises:
        ValueError: the picture's side is not the feature's times a power of two.

    Example:
        >>> doublings_between((64, 64), (16, 16))
        2
    """
    (height, width), (side_h, side_w) = image_HW, feature_HW
    factor = height // max(side_h, 1)
    if factor < 1 or factor & (factor - 1) or (side_h * factor, side_w * factor) != (height, width):
        raise ValueError(
            f"an inverter doubles the feature's side: {side_h}x{side_w} does not become {height}x{width} by "
            "a power of two; crop or resize the pictures"
        )
    return factor.bit_length() - 1


def build_decoder(
    mean_C: Tensor, std_C: Tensor, settings: DecoderSettings | None = None, doublings: int = 2
) -> nn.Sequential:
    """A decoder for features with these statistics.

    Args:
        mean_C: Mean of each of the feature's channels.
        std_C: Standard deviation of each.
        settings: Widths and blocks; beyond four times the feature's side the last ones repeat.
        doublings: The picture's side is the feature's times ``2 ** doublings``.
    """
    settings = settings or DecoderSettings()
    levels = [min(level, len(settings.widths) - 1) for level in range(doublings + 1)]
    widths = [settings.widths[level] for level in levels]
    blocks = [settings.blocks[level] for level in levels]
    layers: list[nn.Module] = [
        Standardise(mean_C, std_C),
        nn.Conv2d(len(mean_C), widths[0], kernel_size=3, padding=1),
        nn.ReLU(),
    ]
    for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        if level:
            layers.append(upsample(widths[level - 1], width))
        layers += [ResidualBlock(width) for _ in range(count)]
    layers += [nn.Conv2d(widths[-1], 3, kernel_size=3, padding=1), nn.Sigmoid()]
    return channels_last(nn.Sequential(*layers))
