"""The paper's white-box attack, regularised maximum likelihood (rMLE), as its authors' code runs it.

    x_{t+1} = x_t - eta * grad( mean (f_edge(x_t) - z)^2 + lambda_TV * sqrt(TV(x_t)) )          (Eq. 3)

It is here to reproduce the paper's column, weaknesses included: the mean over a whole batch divides each
picture's gradient by the batch size, the start is far outside the range of pictures, plain momentum does not
adapt to the tiny gradients, and the last iterate counts. ``siftfunnel.lab.attacks.rmle`` is the attack to
judge by.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from siftfunnel.lab.attacks.attack import Access, Attack, Reconstruction, Show, require_white_box
from siftfunnel.lab.attacks.chunks import reconstruct_in_chunks
from siftfunnel.lab.attacks.descent import curve_iterations, require_numbers
from siftfunnel.lab.attacks.victim import Victim


def squared_variation(x_NCHW: Tensor) -> Tensor:
    """The released code's TV: squared differences, each direction averaged over its elements, then added.

    Example:
        >>> x = torch.zeros(1, 1, 2, 2)
        >>> x[0, 0, 1] = 1.0
        >>> squared_variation(x).item()
        1.0
    """
    down = (x_NCHW[:, :, 1:] - x_NCHW[:, :, :-1]).square().mean()
    right = (x_NCHW[:, :, :, 1:] - x_NCHW[:, :, :, :-1]).square().mean()
    return down + right


@dataclass(frozen=True)
class RMLEAuthors(Attack):
    """rMLE with the released code's settings.

    Attributes:
        learning_rate: The code's default; the paper says 'adjusted to the best', values lost.
        momentum: The code's.
        iterations: The code's default; lost in the paper.
        tv_weight: The code's default; lost in the paper.
        batch: The code's.
        seed: Ours.
    """

    learning_rate: float = 0.01
    momentum: float = 0.9
    iterations: int = 500
    tv_weight: float = 1e3
    batch: int = 64
    seed: int = 1

    name: ClassVar[str] = "rmle-authors"
    label: ClassVar[str] = "rMLE as released"
    access: ClassVar[Access] = "white-box"
    kind: ClassVar[Literal["optimisation", "inverter"]] = "optimisation"
    source: ClassVar[str] = "arXiv 2501.00824v1, Eq. 3; released white_box_attack.py"
    as_the_paper: ClassVar[bool] = True

    def reconstruct(self, victim: Victim, z_NCHW: Tensor, folder: Path, show: Show) -> Reconstruction:
        """Descend on all pictures of a batch at once; continues after an interrupt."""
        require_white_box(self, victim)

        def solve(z: Tensor, chunk: int) -> Reconstruction:
            return self._descend(victim, z, chunk)

        return reconstruct_in_chunks(self, victim, z_NCHW, folder, show, batch=self.batch, solve=solve)

    def _descend(self, victim: Victim, z_NCHW: Tensor, chunk: int) -> Reconstruction:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + chunk)
        drawn = torch.randn(len(z_NCHW), *victim.image_shape, generator=generator)
        x = drawn.to(victim.device, memory_format=torch.channels_last).requires_grad_()
        optimizer = torch.optim.SGD([x], lr=self.learning_rate, momentum=self.momentum)
        points = curve_iterations(self.iterations)
        curve: list[float] = []
        for step in range(self.iterations):
            distance = (victim.features(x) - z_NCHW).square().mean()
            loss = distance + self.tv_weight * squared_variation(x).sqrt()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step in points:
                require_numbers(loss.detach().view(1), f"chunk {chunk}, iteration {step}")
                curve += [float(distance.detach())] * points.count(step)
        with torch.no_grad():
            made = x.clamp(0, 1)
            error_N = (victim.features(made) - z_NCHW).square().mean((1, 2, 3))
        require_numbers(error_N, f"chunk {chunk}, iteration {self.iterations}")
        curve.append(float(error_N.mean()))
        details = {"feature_loss_per_image": error_N.tolist(), "curve": curve}
        return Reconstruction(made.cpu().contiguous(), details)
