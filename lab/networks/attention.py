"""The funnel's attention blocks: squeeze-and-excitation, triplet attention and CBAM.

Tensors are named by their axes: N pictures, C channels, H rows, W columns.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the channels' means.

    ``pool -> Linear(C, C // reduction) -> ReLU -> Linear(C // reduction, C) -> sigmoid``, no biases:
    ``2 * C * (C // reduction)`` parameters (1,024 at C = 128, reduction 32; 72 at C = 12, reduction 4).
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // reduction
        if hidden < 1:
            raise ValueError(f"reduction {reduction} leaves no hidden unit for {channels} channels")
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Gate ``x``; the shape stays."""
        mean_NC = x_NCHW.mean(dim=(2, 3))
        gate_NC = torch.sigmoid(self.excite(torch.relu(self.squeeze(mean_NC))))
        return x_NCHW * gate_NC[:, :, None, None]


def convolve_two_maps(maps_N2HW: Tensor, weight: Tensor) -> Tensor:
    """A 7x7 "same" convolution from two maps to one, as one matrix product.

    The matrix is banded: it holds the kernel's rows at every column. Equal to ``conv2d`` up to rounding. With
    two channels in and one out the library's kernel spends its time on layout; this form takes half of it in
    training on a CPU, where the gates are the largest part of the funnel's step.

    Args:
        maps_N2HW: The two maps.
        weight: Kernel 1 x 2 x 7 x 7.

    Returns:
        N x 1 x H x W.
    """
    count, channels, height, width = maps_N2HW.shape
    taps = weight.shape[-1]
    columns = torch.arange(width, device=weight.device)
    tap = columns[:, None] - columns[None, :] + taps // 2
    inside = (tap >= 0) & (tap < taps)
    band = weight[0][:, :, tap.clamp(0, taps - 1)] * inside
    rows = functional.pad(maps_N2HW, (0, 0, taps // 2, taps // 2)).unfold(2, taps, 1)
    rows = rows.permute(0, 2, 1, 4, 3).reshape(count * height, channels * taps * width)
    return (rows @ band.reshape(channels * taps * width, width)).view(count, 1, height, width)


class PlaneGate(nn.Module):
    """One gate of triplet attention: reduce one axis to its maximum and mean, convolve the two maps, squash.

    The 7x7 convolution runs over the plane of the two axes that stay. 100 parameters: 2 * 7 * 7 weights and a
    normalisation of one channel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x_NCHW: Tensor, axis: int) -> Tensor:
        """The gate, with length 1 along ``axis`` (1, 2 or 3) so that it broadcasts over ``x``."""
        maps = torch.stack((x_NCHW.amax(dim=axis), x_NCHW.mean(dim=axis)), dim=1)
        convolved = convolve_two_maps(maps, self.conv.weight) if self.training else self.conv(maps)
        gate = torch.sigmoid(self.norm(convolved))
        return gate if axis == 1 else gate.squeeze(1).unsqueeze(axis)


class TripletAttention(nn.Module):
    """Average of three gated copies of the input, one gate per pair of axes (Misra et al., 2021).

    300 parameters. The published form permutes the whole map twice for each of two gates. A gate only needs
    the maximum and the mean over one axis, so we reduce over that axis where it lies, convolve the two small
    maps and broadcast the gate: the same function without a single permutation. The second gate's plane is
    stored (C, W'), rows first; a kernel of the published (H, C) plane is its transpose.
    """

    def __init__(self) -> None:
        super().__init__()
        self.over_height = PlaneGate()
        self.over_width = PlaneGate()
        self.over_channels = PlaneGate()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Gate ``x`` along its three axes; the shape stays."""
        gates: Tensor = (
            self.over_height(x_NCHW, 2) + self.over_width(x_NCHW, 3) + self.over_channels(x_NCHW, 1)
        )
        return x_NCHW * (gates / 3)


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., 2018): a channel gate, then a spatial gate.

    The channel gate's two-layer network is shared by the average and the maximum; ``2 * C * (C // reduction)
    + 98`` parameters (146 at C = 12, reduction 6).
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // reduction
        if hidden < 1:
            raise ValueError(f"reduction {reduction} leaves no hidden unit for {channels} channels")
        self.shared = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False)
        )
        self.spatial = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Gate ``x`` by channel, then by place; the shape stays."""
        gate_NC = torch.sigmoid(self.shared(x_NCHW.mean(dim=(2, 3))) + self.shared(x_NCHW.amax(dim=(2, 3))))
        y_NCHW = x_NCHW * gate_NC[:, :, None, None]
        maps_N2HW = torch.cat((y_NCHW.mean(dim=1, keepdim=True), y_NCHW.amax(dim=1, keepdim=True)), dim=1)
        return y_NCHW * torch.sigmoid(self.spatial(maps_N2HW))
