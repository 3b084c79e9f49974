"""A substitute for an edge half that cannot be queried, matched to overheard features (FORA, CVPR 2024).

    own pictures --substitute--> z'  ~  z <-- overheard, pictures unknown

Two terms make z' look like z in distribution: the multi-kernel maximum mean discrepancy (MK-MMD) and a
discriminator that tells z from z', whose gradient reaches the substitute reversed, so that one optimiser
trains both. Features are compared in units of the overheard ones' mean and deviation.
"""

import torch
from torch import Tensor, nn

WIDEST, KERNELS = 4.0, 5
"""Kernel widths in units of the mean squared distance: 4, 2, 1, 1/2, 1/4."""
LEAST_STD = 1e-6
POSITIONS = 512
"""About how many positions of a batch are compared."""
REVERSED_SHARE = 0.1
"""Ours: the discriminator's pull on the substitute; at full strength it drowns MK-MMD's."""


def mk_mmd(a_ND: Tensor, b_ND: Tensor) -> Tensor:
    """Squared maximum mean discrepancy with a mean of Gaussian kernels (Gretton et al., 2012); 0 for a = b.

    The kernels' widths are fractions and multiples of the mean squared distance of the joint sample.

    Example:
        >>> a = torch.eye(4)
        >>> round(float(mk_mmd(a, a)), 6)
        0.0
    """
    both = torch.cat([a_ND, b_ND])
    squares = both.square().sum(dim=1)
    distance = (squares[:, None] + squares[None, :] - 2 * both @ both.T).clamp_min(0)
    width = distance.detach().mean().clamp_min(1e-12)
    narrower = torch.exp(-distance / (width * WIDEST))
    kernel = narrower
    for _ in range(KERNELS - 1):
        narrower = narrower.square()  # half the width: four exponentials fewer
        kernel = kernel + narrower
    kernel = kernel / KERNELS
    n = len(a_ND)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def feature_discrepancy(ours_NCHW: Tensor, heard_NCHW: Tensor) -> Tensor:
    """MK-MMD of whole features and of single positions, halved. The second is *ours*.

    A batch holds few whole features but many positions, which tell how channels go together.
    """
    whole = mk_mmd(ours_NCHW.flatten(1), heard_NCHW.flatten(1))
    step = max(1, ours_NCHW[:, 0].numel() // POSITIONS)
    ours_PC, heard_PC = (
        z.permute(0, 2, 3, 1).flatten(0, 2)[step // 2 :: step] for z in (ours_NCHW, heard_NCHW)
    )
    return (whole + mk_mmd(ours_PC, heard_PC)) / 2


class SubstituteEdge(nn.Module):
    """A convolutional edge of the right shape: blocks as in unprotected edges (conv, norm, max pool, ReLU).

    The last block's normalised output takes the overheard features' mean and deviation per channel and stays
    above the least value that was overheard (0 behind a ReLU).
    """

    mean: Tensor
    std: Tensor
    least: Tensor

    def __init__(self, z_NCHW: Tensor, width: int, doublings: int) -> None:
        super().__init__()
        channels = z_NCHW.shape[1]
        std = z_NCHW.std(dim=(0, 2, 3)).clamp_min(LEAST_STD)
        self.register_buffer("mean", z_NCHW.mean(dim=(0, 2, 3)).view(1, -1, 1, 1).clone())
        self.register_buffer("std", std.view(1, -1, 1, 1).clone())
        self.register_buffer("least", z_NCHW.amin(dim=(0, 2, 3)).view(1, -1, 1, 1).clone())
        layers: list[nn.Module] = []
        inputs, blocks = 3, max(2, doublings)
        for block in range(blocks):
            last = block == blocks - 1
            outputs = channels if last else width
            layers += [nn.Conv2d(inputs, outputs, kernel_size=3, padding=1), nn.BatchNorm2d(outputs)]
            if block < doublings:
                # an odd side is rounded up, as doubling and cropping undoes it
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            if not last:
                layers.append(nn.ReLU())
            inputs = outputs
        self.body = nn.Sequential(*layers)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Features in the victim's own units."""
        z: Tensor = self.body(x_NCHW) * self.std + self.mean
        return torch.maximum(z, self.least)

    def standardise(self, z_NCHW: Tensor) -> Tensor:
        """Features in units of the overheard ones' mean and deviation."""
        return (z_NCHW - self.mean) / self.std


def build_discriminator(channels: int, width: int) -> nn.Sequential:
    """Logit N x 1: is a standardised feature an overheard one."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel_size=3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, kernel_size=3, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width, 1),
    )
