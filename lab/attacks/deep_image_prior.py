"""Likelihood maximisation with a deep image prior: optimise an untrained net's weights instead of pixels.

    x_hat = g_w(n),  w = argmin d(f_edge(g_w(n)), z) + lambda_TV * TV(g_w(n))

A convolutional net finds natural pictures before it finds noise (Ulyanov et al., CVPR 2018); DRAG (ICML 2025)
runs it as a baseline against split inference. No pictures are needed but for the feature scale, the mean
picture around which the nets start, and the choice of lambda_TV. All sizes and settings are ours.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from siftfunnel.lab.attacks.descent import Descent, curve_iterations, require_numbers
from siftfunnel.lab.attacks.picture_nets import PictureNets
from siftfunnel.lab.attacks.tuned import Scene, TunedAttack
from siftfunnel.lab.attacks.tuning import Candidate


@dataclass(frozen=True)
class DeepImagePrior(TunedAttack):
    """An untrained U-shaped net per picture.

    Attributes:
        iterations: Steps.
        channels: Of each net's levels.
        learning_rate: First step size of Adam on weights.
        noise: Standard deviation of the noise added to the net's unit input, falling to 0 along a cosine.
        tv_weights: Weights of the total variation to choose from.
    """

    iterations: int = 1000
    channels: int = 16
    learning_rate: float = 0.03
    noise: float = 0.1
    tv_weights: tuple[float, ...] = (0.1, 0.5)

    name: ClassVar[str] = "deep-image-prior"
    label: ClassVar[str] = "Deep image prior"
    source: ClassVar[str] = "Ulyanov et al., CVPR 2018; as in DRAG, ICML 2025; best iterate and sizes: ours"

    def __post_init__(self) -> None:
        if min(self.iterations, self.channels, self.batch, self.tuning_pictures) < 1 or not self.tv_weights:
            raise ValueError(
                f"{self.name}: iterations, channels, batch and tuning_pictures are 1 or more, "
                "and tv_weights has at least one (0 is one)"
            )

    def candidates(self) -> list[Candidate]:
        """One for each weight of the total variation."""
        return [Candidate(self.learning_rate, weight, 0.0) for weight in self.tv_weights]

    def descend(self, scene: Scene) -> tuple[Descent, dict[str, Any]]:
        """Optimise a net per picture and keep its best picture."""
        count, device = len(scene.z_NCHW), scene.victim.device
        seed = self.seed * 100_003 + scene.chunk + 1
        generator = torch.Generator().manual_seed(seed)
        nets = PictureNets(count, self.channels, scene.known.basis.mean_CHW, generator, device)
        shape = (count, self.channels, *scene.victim.image_shape[1:])
        still = torch.randn(shape, generator=generator).to(device)
        shaking = torch.Generator(device).manual_seed(seed)
        objective = scene.objective()
        optimizer = torch.optim.Adam(nets.parameters(), lr=self.learning_rate)
        points = curve_iterations(self.iterations)
        curve: list[float] = []
        made: Descent | None = None
        for step in range(self.iterations + 1):
            fall = 0.5 * (1 + math.cos(math.pi * step / self.iterations))
            shaken = torch.randn(shape, generator=shaking, device=device) * (self.noise * fall)
            with torch.set_grad_enabled(step < self.iterations):
                x = nets(still + shaken)
                value, distance = objective(x.contiguous(memory_format=torch.channels_last))
            made = _with_iterate(made, x.detach(), value.detach(), distance.detach())
            if step in points:
                require_numbers(value.detach(), f"{scene.where}, iteration {step}")
                curve += [float(distance.detach().mean())] * points.count(step)
            if step == self.iterations:
                break
            optimizer.param_groups[0]["lr"] = self.learning_rate * fall
            optimizer.zero_grad()
            value.sum().backward()  # type: ignore[no-untyped-call]
            if step == 0:
                made.gradient_norm_N.copy_(nets.gradient_norm_N())
            optimizer.step()
        assert made is not None
        made.curve.extend(curve)
        return made, {}


def _with_iterate(best: Descent | None, x_NCHW: Tensor, value_N: Tensor, distance_N: Tensor) -> Descent:
    """The best so far, with another iterate taken into account."""
    latest = Descent(x_NCHW, value_N, distance_N, value_N, torch.zeros_like(value_N), [])
    if best is None:
        return latest
    better = best.better_of(latest)
    better.last_objective_N.copy_(value_N)
    return better
