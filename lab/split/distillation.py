"""Going on from a funnel by distillation; nothing of the network itself changes unless labels are given.

    z' = (I + A S) z      on the device        x = D (I + B S) z'      in the cloud

    loss = D_KL(uncut || cut) + feature_weight |z' - (I + A) z|^2 + price_r bits_r + privacy terms

A and B mix channels, a small network behind D mends the borders of patches; all begin as nothing. A and B
are folded into the two convolutions afterwards: a trained funnel costs the device what the linear one does. S
is a step over each channel's deviation: without it the optimiser's equal steps would drown faint channels in
strong ones. Rounding is straight through for what the cloud gets, and noise for the rate (Balle et al., arXiv
1611.01704). The price of a bit is what the linear funnel itself pays.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from siftfunnel.lab.defences.losses import channel_correlation, distance_correlation_squared
from siftfunnel.lab.networks.reversal import ReversedGradient
from siftfunnel.lab.split.features import Arrays, Ends, Seen
from siftfunnel.lab.split.finetuning import Tuning
from siftfunnel.lab.split.funnel import Funnel, estimated_bytes, quantised, step_for
from siftfunnel.lab.split.halves import with_weights
from siftfunnel.lab.split.likeness import comparable
from siftfunnel.lab.split.mixing import Mixing
from siftfunnel.lab.split.points import Point
from siftfunnel.lab.split.sensitivity import TorchCloud
from siftfunnel.lab.split.settings import TrainSettings
from siftfunnel.lab.training.checkpoints import Progress, RunFolder
from siftfunnel.lab.training.fitting import FitSettings, Task, adamw, fit

STEP_JITTER = (0.85, 1.2)
THUMBNAIL = 28
"""Pixels a side of what the adversarial term's attacker wants."""


class FunnelTask(Task):
    """What the fitting loop trains: the funnels of all tensors, on pictures that the network has seen.

    Args:
        ends: The cut network.
        funnel: To go on from.
        points: Rate points, each drawn as often.
        fitted: Pictures to train on.
        held_out: Others, which choose the best checkpoint.
        thumbnails_NCHW: Of the pictures to train on, for privacy terms; 0 to 1.
        settings: How.
        classes: Of the pictures to train on and the held-out ones, where the network's weights change too.

    Raises:
        ValueError: weights are to change, and there is none that could, or no class.
    """

    def __init__(
        self,
        ends: Ends,
        funnel: Funnel,
        points: Sequence[Point],
        fitted: Seen,
        held_out: Seen,
        thumbnails_NCHW: Tensor,
        settings: TrainSettings,
        classes: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    ) -> None:
        # what is drawn for the layers below is a part of the training that a seed stands for
        torch.manual_seed(settings.seed)
        self.batch_size = ends.halves.frames_per_run or settings.batch_size
        self.settings, self._ends, self._funnel = settings, ends, funnel
        self._cloud = TorchCloud(ends.halves)
        self._unit = funnel.unit
        self._steps = [point.step / self._unit for point in points]
        self.fitted_z, self._held_z = funnel.encode(fitted.tensors), funnel.encode(held_out.tensors)
        self._fitted, self._held_out, self._thumbnails = fitted, held_out, thumbnails_NCHW
        self._rows = [_rows(z) / self._unit for z in self.fitted_z]
        finest, parts = min(self._steps), zip(funnel.parts, self.fitted_z, strict=True)
        mixings = [Mixing(part, z, self._unit, finest) for part, z in parts]
        self.mixings = nn.ModuleList(mixings)
        values = sum(rows[0].numel() for rows in self._rows)
        self.adversary = (
            nn.Linear(values, thumbnails_NCHW[0].numel()) if settings.adversary else nn.Identity()
        )
        self.tuning = (
            Tuning(self._cloud, ends.halves.cloud, ends.halves.outputs, *classes) if classes else None
        )
        self.model = nn.ModuleDict({"mixings": self.mixings, "adversary": self.adversary})
        if self.tuning is not None:
            self.model["tuning"] = self.tuning
        self._prices = [self._price(step) for step in self._steps]

    def _price(self, step: float) -> float:
        """What divergence the linear funnel pays for a bit, by two steps around a rate point's."""
        unit, held = self._unit, self._held_z
        steps = [step * unit * factor for factor in (0.9, 1.1)]
        first, second = (self._divergence(self._outputs(self._ends, self._funnel, held, s)) for s in steps)
        bits = [8 * estimated_bytes(self.fitted_z, held, s) for s in steps]
        return max((second - first) / max(bits[0] - bits[1], 1e-9), 0.0)

    @staticmethod
    def _outputs(ends: Ends, funnel: Funnel, z: Arrays, step: float) -> Arrays:
        return ends.cloud(funnel.decode(quantised(z, step)))

    def _divergence(self, outputs: Arrays) -> float:
        return float(self._held_out.likeness.divergence_N(outputs).mean())

    @property
    def samples_per_epoch(self) -> int:
        """Pictures between two checks."""
        return self.settings.steps_per_check * self.batch_size

    def batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Numbers of pictures, each as often as the others, in an order of the generator's."""
        count, order = len(self._fitted), torch.empty(0, dtype=torch.long)
        for _ in range(self.settings.steps_per_check):
            while len(order) < self.batch_size:
                order = torch.cat([order, torch.randperm(count, generator=generator)])
            yield order[: self.batch_size]
            order = order[self.batch_size :]

    def loss(self, batch: Tensor) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Divergence, features, bits and what is asked for privacy."""
        point = int(torch.randint(len(self._steps), ()))
        step = self._steps[point] * torch.empty(()).uniform_(*STEP_JITTER)
        tensors, bits, errors, sent = [], torch.zeros(()), torch.zeros(()), []
        for mixing, rows in zip(self._typed(), self._rows, strict=True):
            own = mixing.sent(rows[batch])
            noisy = own + step * (torch.rand(own.shape) - 0.5)
            bits = bits + mixing.bits_N(noisy, step).mean()
            arrived = own + (step * (own / step).round() - own).detach()
            errors = errors + (arrived - own).square().mean()
            tensors.append(mixing.tensor(arrived))
            sent.append(arrived)
        weights = self.tuning.weights() if self.tuning is not None else None
        given = self._cloud(tensors, weights)
        divergence = self._diverging(given, batch)
        terms = self._private(sent, batch)
        if self.tuning is not None:
            terms["labels"] = self.settings.label_weight * self.tuning.cross_entropy(given, batch)
        total = (
            divergence
            + self._prices[point] * bits
            + self.settings.feature_weight * errors
            + sum(terms.values())
        )
        return total, {"divergence": divergence.detach(), "bytes": bits.detach() / 8, **_detached(terms)}

    def _typed(self) -> list[Mixing]:
        return [mixing for mixing in self.mixings if isinstance(mixing, Mixing)]

    def _diverging(self, given: Sequence[Tensor], batch: Tensor) -> Tensor:
        likeness, outputs, total = self._fitted.likeness, self._ends.halves.outputs, torch.zeros(())
        for place, scale in zip(likeness.positions, likeness.scales, strict=True):
            output, scales = outputs[place], torch.from_numpy(scale)
            wanted = torch.from_numpy(np.asarray(self._fitted.outputs[place], np.float32)[batch.numpy()])
            a, b = comparable(given[place], output, scales), comparable(wanted, output, scales)
            total = (
                total + ((b.exp() * (b - a)).sum(1) if output.is_scores else (a - b).square().mean(1)).mean()
            )
        return total

    def _private(self, sent: Sequence[Tensor], batch: Tensor) -> dict[str, Tensor]:
        how, terms = self.settings, {}
        flat = torch.cat([values.flatten(1) for values in sent], dim=1)
        pictures = self._thumbnails[batch].flatten(1)
        if how.distance_correlation:
            terms["dcor"] = how.distance_correlation * distance_correlation_squared(pictures, flat)
        if how.channel_correlation:
            maps = [values.transpose(1, 2).unsqueeze(3) for values in sent if values.shape[1] > 1]
            terms["ccor"] = how.channel_correlation * sum(map(channel_correlation, maps), torch.zeros(()))
        if how.adversary:
            turned = ReversedGradient.apply(flat, how.adversary)  # type: ignore[no-untyped-call]
            guess = self.adversary(turned)
            terms["adversary"] = (guess - pictures).square().mean()
        return terms

    def validate(self) -> dict[str, float]:
        """Figures of held-out pictures at each rate point's bytes, their means.

        The score is the mean logarithm of the divergence, turned round; where labels train the weights it is
        their cross-entropy.
        """
        funnel, ends = self.funnel(), self.ends()
        known, held = funnel.encode(self._fitted.tensors), funnel.encode(self._held_out.tensors)
        found, told = [], []
        for first in self._steps:
            linear = estimated_bytes(self.fitted_z, self._held_z, first * self._unit)
            step = step_for(lambda s: estimated_bytes(known, held, s), linear, funnel.unit)
            outputs = self._outputs(ends, funnel, held, step)
            found.append(self._divergence(outputs))
            told.append(self.tuning.held_out(outputs) if self.tuning is not None else {})
        means = {name: float(np.mean([figures[name] for figures in told])) for name in told[0]}
        score = -float(np.mean([math.log(max(value, 1e-12)) for value in found]))
        return {
            "divergence_held_out": float(np.mean(found)),
            **means,
            "score": -means["cross_entropy"] if means else score,
        }

    def ends(self) -> Ends:
        """The cut network with its weights as they stand."""
        if self.tuning is None:
            return self._ends
        return Ends(with_weights(self._ends.halves, self.tuning.arrays()))

    def funnel(self) -> Funnel:
        """As it stands, folded."""
        parts = [mixing.folded(z) for mixing, z in zip(self._typed(), self.fitted_z, strict=True)]
        return Funnel(tuple(parts), self._funnel.importance)


def _rows(z: NDArray[np.float32]) -> Tensor:
    """N x K x h x w -> N x places x K."""
    return torch.from_numpy(z).flatten(2).transpose(1, 2).contiguous()


def _detached(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in terms.items()}


def thumbnails(pixels_NHWC: NDArray[np.uint8]) -> Tensor:
    """Small pictures of 0 to 1 for privacy terms, N x 3 x side x side."""
    x = torch.from_numpy(np.ascontiguousarray(pixels_NHWC)).permute(0, 3, 1, 2).float() / 255
    return nn.functional.adaptive_avg_pool2d(x, min(THUMBNAIL, *x.shape[2:]))


def _optimizer(task: FunnelTask, how: FitSettings) -> torch.optim.Optimizer:
    """The usual one; the network's own weights have a share of its learning rate."""
    optimizer = adamw(nn.ModuleList([task.mixings, task.adversary]), how)
    if task.tuning is not None:
        share = task.settings.weights_rate
        optimizer.add_param_group({"params": list(task.tuning.parameters()), "rate_share": share})
    return optimizer


def train_funnel(
    task: FunnelTask, folder: Path, settings: TrainSettings, about: Mapping[str, Any]
) -> Progress:
    """Train, or go on where the folder stands; Ctrl-C stops after the step under way and keeps it.

    Raises:
        KeyboardInterrupt: stopped; the same call continues.
        RunFolderError: the folder holds a training with other settings.
    """
    run = RunFolder(folder, {"train": vars(settings), **about})
    checks = math.ceil(settings.steps / settings.steps_per_check)
    how = FitSettings(checks, settings.learning_rate, warmup_share=0.1, weight_decay=0.0, seed=settings.seed)
    progress = fit(task, how, run, lambda model, how: _optimizer(task, how))
    run.load_best(task.model)
    return progress
