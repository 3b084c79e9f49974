"""DPSGD (Abadi et al., 2016): gradients clipped per picture, with noise; it protects the training pictures.

    g = (sum_i g_i min(1, C / |g_i|) + C s n) / B,  n ~ N(0, I)        cross-entropy

Each step draws its batch by Poisson sampling, clips the gradient of each picture to norm C, sums, adds noise,
and divides by the expected batch size B. Opacus is imported on first use: it takes seconds, and only this
defence needs it.

Nothing in it hides a feature from whoever receives it at inference; the paper lists it among its rows. The
network has group normalisation, since batch normalisation mixes the pictures of a batch.
"""

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from siftfunnel.lab.defences.defence import Defence
from siftfunnel.lab.networks.layout import channels_first
from siftfunnel.lab.networks.split import SplitNetwork

RENYI_ORDERS = (*(1 + tenth / 10 for tenth in range(1, 100)), *range(12, 64))


def poisson_batches(
    count: int, sample_rate: float, steps: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """Indices of ``steps`` batches: each of ``count`` pictures is in each batch with chance ``sample_rate``.

    The privacy accounting holds for this sampling only, not for shuffled epochs. A batch may be empty.

    Raises:
        ValueError: a rate outside (0, 1].
    """
    if not 0 < sample_rate <= 1:
        raise ValueError(f"the sample rate must be above 0 and at most 1, got {sample_rate}")
    for _ in range(steps):
        drawn = torch.rand(count, generator=generator) < sample_rate
        yield drawn.nonzero().flatten()


def sample_rate(pictures: int, batch_size: int) -> float:
    """Chance of a picture to be in a batch of ``batch_size`` on average."""
    return min(1.0, batch_size / pictures)


def epsilon_spent(steps: int, sample_rate: float, noise_multiplier: float, delta: float) -> float:
    """Privacy loss epsilon of a training at ``delta``, by Renyi accounting (an upper bound).

    Args:
        steps: Number of optimiser steps.
        sample_rate: Chance of a picture to be in a batch.
        noise_multiplier: Noise's standard deviation over the clipping norm.
        delta: Probability with which the guarantee may fail.
    """
    if steps == 0:
        return 0.0
    if noise_multiplier == 0:
        return math.inf
    from opacus.accountants.analysis import rdp

    spent = rdp.compute_rdp(
        q=sample_rate, noise_multiplier=noise_multiplier, steps=steps, orders=RENYI_ORDERS
    )
    with warnings.catch_warnings():
        # at extreme settings the best order is the first or last of the list; the bound stays valid
        warnings.filterwarnings("ignore", message="Optimal order is the")
        epsilon, _ = rdp.get_privacy_spent(orders=RENYI_ORDERS, rdp=spent, delta=delta)
    return float(epsilon)


def _keep_channels_first(model: nn.Module) -> None:
    """Lay weights and every convolution's input out in the usual order.

    Opacus computes wrong gradients per picture, zeros among them, where channels lie innermost.
    """
    channels_first(model)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda layer, inputs: (inputs[0].contiguous(),))


def make_private_optimizer(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    noise_multiplier: float,
    clip: float,
    expected_batch_size: int,
) -> torch.optim.Optimizer:
    """An optimiser whose ``step`` clips the gradient of each picture and adds noise.

    The model keeps its names: hooks on its layers collect the gradients per picture while it is in training
    mode. ``state_dict`` of the result is that of the wrapped optimiser, so that run folders store and restore
    it as any other. The noise comes from PyTorch's global generator. The loss must be a mean over the batch.
    A step without a backward pass before it (an empty batch) is a step of noise alone.

    Raises:
        ValueError: the model has a layer that mixes pictures, such as batch normalisation.
    """
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer
    from opacus.validators import ModuleValidator

    if problems := ModuleValidator.validate(model):
        raise ValueError(f"no gradient per picture: {problems[0]}; choose a network with group normalisation")

    class PrivateOptimizer(DPOptimizer):  # type: ignore[misc]
        def step(self, closure: Any = None) -> Any:
            for parameter in self.params:
                if getattr(parameter, "grad_sample", None) is None:
                    parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
            return super().step(closure)

    _keep_channels_first(model)
    # the first layer's input is a picture and needs no gradient, which the hooks do not mind
    warnings.filterwarnings("ignore", message="Full backward hook is firing when gradients are computed")
    GradSampleModule(model, batch_first=True, loss_reduction="mean")
    private: torch.optim.Optimizer = PrivateOptimizer(
        optimizer,
        noise_multiplier=noise_multiplier,
        max_grad_norm=clip,
        expected_batch_size=expected_batch_size,
        loss_reduction="mean",
    )
    return private


@dataclass(frozen=True)
class DPSGD(Defence):
    """Cross-entropy under differentially private optimisation.

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
    own_weight: ClassVar[tuple[str, ...]] = ("noise_multiplier",)
    origins: ClassVar[Mapping[str, str]] = {"clip": "ours", "noise_multiplier": "ours", "delta": "ours"}

    def __post_init__(self) -> None:
        if self.clip <= 0 or self.noise_multiplier < 0 or not 0 < self.delta < 1:
            raise ValueError(
                f"DPSGD needs a clip above 0, a noise multiplier from 0 and a delta in (0, 1), got {self}"
            )

    def batches(
        self, pictures: int, samples: int, batch_size: int, generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Poisson sampling: as many batches as there would be, of ``batch_size`` pictures on average."""
        steps = math.ceil(samples / batch_size)
        yield from poisson_batches(pictures, sample_rate(pictures, batch_size), steps, generator)

    def optimizer(
        self, network: SplitNetwork, usual: torch.optim.Optimizer, batch_size: int
    ) -> torch.optim.Optimizer:
        """The usual one, made private."""
        return make_private_optimizer(
            network,
            usual,
            noise_multiplier=self.noise_multiplier,
            clip=self.clip,
            expected_batch_size=batch_size,
        )

    def privacy_spent(self, *, steps: int, pictures: int, batch_size: int) -> float:
        """Privacy loss epsilon after that many Poisson-sampled steps, at this defence's delta."""
        return epsilon_spent(steps, sample_rate(pictures, batch_size), self.noise_multiplier, self.delta)
