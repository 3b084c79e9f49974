"""Equal bytes among natural pictures, as far as two small denoisers can tell: what nobody could rule out.

    s(x) = mean over sigma and noise n of |D(x + sigma n) - x|^2 / (sigma^2 d)

A denoiser D that has learned real pictures restores those best: the stranger a picture, the larger s. The
first denoiser guides the search, a picture counts only if it is no stranger than the real one whose bytes it
sends; the second, trained on other pictures, judges what was found, and only what passes both is counted.
That is evidence, not proof: a set of such pictures binds every attacker as any other does, but that no better
prior could tell its members apart is not shown.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.attacks.fingerprint import tensor_digest
from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.certify.sender import Cells, Pixels
from siftfunnel.lab.certify.twins import Search, Twins
from siftfunnel.lab.data.images import DataError, ImageSet
from siftfunnel.lab.training.checkpoints import RunFolder
from siftfunnel.lab.training.fitting import FitSettings, Task, epochs_of, fit

SIGMAS = (0.03, 0.08)
"""Of the noise in s."""
LEAST_SIGMA, MOST_SIGMA = 0.015, 0.15
WIDTH, LAYERS, BATCH, STEPS, LEARNING_RATE = 48, 6, 32, 1_200, 2e-3
HELD_BACK = 64
WEIGHT, TOLERANCE = 60.0, 1.1
"""Of strangeness beyond the real picture's in the search; how much the second denoiser lets pass."""


class Denoiser(nn.Module):
    """Convolutions at half the resolution, told sigma (after FFDNet: Zhang, Zuo and Zhang, 2018)."""

    def __init__(self) -> None:
        super().__init__()
        widths = [13, *[WIDTH] * (LAYERS - 1)]
        body: list[nn.Module] = []
        for into, out in pairwise(widths):
            body += [nn.Conv2d(into, out, 3, padding=1), nn.ReLU()]
        self.body = nn.Sequential(*body, nn.Conv2d(WIDTH, 12, 3, padding=1))

    def forward(self, noisy_NCHW: Tensor, sigma_N: Tensor) -> Tensor:
        """The picture without its noise; sides are even."""
        small = functional.pixel_unshuffle(2 * noisy_NCHW - 1, 2)
        level = (10 * sigma_N).view(-1, 1, 1, 1).expand(-1, 1, *small.shape[2:])
        noise = functional.pixel_shuffle(self.body(torch.cat([small, level], 1)), 2)
        return noisy_NCHW - sigma_N.view(-1, 1, 1, 1) * noise


class _Denoising(Task):
    batch_size = BATCH

    def __init__(self, images_NHWC: Tensor, seed: int) -> None:
        torch.manual_seed(seed)
        self.model: Denoiser = Denoiser()
        self._held_back, self._images = images_NHWC[:HELD_BACK], images_NHWC[HELD_BACK:]

    @property
    def samples_per_epoch(self) -> int:
        return len(self._images)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        span = np.log(MOST_SIGMA / LEAST_SIGMA)
        for part in torch.split(torch.randperm(len(self._images), generator=generator), BATCH):
            x = to_floats(self._images[part])
            if torch.rand((), generator=generator) < 0.5:
                x = x.flip(3)
            sigma = LEAST_SIGMA * torch.exp(span * torch.rand(len(x), generator=generator))
            yield x, sigma, torch.randn(x.shape, generator=generator)

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        x, sigma, noise = batch
        noisy = x + sigma.view(-1, 1, 1, 1) * noise
        left = (self.model(noisy, sigma) - x).square().mean((1, 2, 3)) / sigma.square()
        return left.mean(), {"left": left.detach().mean()}

    def validate(self) -> dict[str, float]:
        left = float(strangeness(self.model, to_floats(self._held_back)).mean())
        return {"left": left, "score": -left}


def strangeness(denoiser: nn.Module, x_NCHW: Tensor, seed: int = 0) -> Tensor:
    """S of each picture, under the same noise for all of one seed; differentiable."""
    total = torch.zeros(len(x_NCHW))
    for place, sigma in enumerate(SIGMAS):
        generator = torch.Generator().manual_seed(2 * seed + place)
        noise = torch.randn(x_NCHW.shape[1:], generator=generator)
        left = denoiser(x_NCHW + sigma * noise, torch.full((len(x_NCHW),), sigma)) - x_NCHW
        total = total + left.square().mean((1, 2, 3)) / sigma**2
    return total / len(SIGMAS)


@dataclass(frozen=True)
class Judges:
    """The denoiser that guides a search, and the one that judges what was found."""

    guide: nn.Module
    judge: nn.Module

    @classmethod
    def trained(cls, images: ImageSet, folder: Path, seed: int) -> "Judges":
        """Each on half of the pictures; continues where ``folder`` stands."""
        pictures = torch.from_numpy(np.ascontiguousarray(images.images_NHWC))
        return cls(
            *(_trained(pictures[half::2], folder / f"denoiser-{half}", seed + half) for half in (0, 1))
        )

    def twins(self, search: Search, pixels_NHWC: Pixels, cells: Cells, start_NCHW: Tensor) -> Twins:
        """Those no stranger than the real picture to the first denoiser, and hardly so to the second."""
        with torch.no_grad():
            own = strangeness(self.guide, _floats(pixels_NHWC))

        def prior(x_NCHW: Tensor) -> Tensor:
            return WEIGHT * (strangeness(self.guide, x_NCHW) / own - 1).clamp_min(0)

        found = search.twins(pixels_NHWC, cells, start_NCHW, prior, anchor=0.0)
        passed = self.ratios(pixels_NHWC, found.pixels_NHWC) <= TOLERANCE
        return Twins(found.pixels_NHWC, found.found_N & passed)

    @torch.no_grad()
    def ratios(self, pixels_NHWC: Pixels, others_NHWC: Pixels) -> NDArray[np.float64]:
        """How many times stranger than the real picture each is to the judge, under fresh noise."""
        theirs, own = (
            torch.stack([strangeness(self.judge, _floats(each), seed) for seed in range(1, 5)]).mean(0)
            for each in (others_NHWC, pixels_NHWC)
        )
        return np.asarray((theirs / own).double().numpy())

    def figures(self, pixels_NHWC: Pixels, found: Mapping[str, Twins]) -> dict[str, Any]:
        """Median ratio of each search's pictures."""
        medians = {
            name: float(np.median(self.ratios(pixels_NHWC[kept], twins.pixels_NHWC[kept])))
            for name, twins in found.items()
            if (kept := twins.found_N).any()
        }
        return {"strangeness_ratio_median": medians, "tolerance": TOLERANCE}


def require_natural(images: ImageSet) -> None:
    """Refuse pictures that no two denoisers can be trained on.

    Raises:
        DataError: sides that are not even, or too few pictures.
    """
    count, height, width = images.images_NHWC.shape[:3]
    if height % 2 or width % 2 or count < 4 * HELD_BACK:
        raise DataError(
            f"--natural needs pictures of even sides and {4 * HELD_BACK} of the attacker's, not "
            f"{height}x{width} and {count}"
        )


def _floats(pixels_NHWC: Pixels) -> Tensor:
    return to_floats(torch.from_numpy(pixels_NHWC))


def _trained(images_NHWC: Tensor, folder: Path, seed: int) -> nn.Module:
    task = _Denoising(images_NHWC, seed)
    about = {"pictures": tensor_digest(images_NHWC), "steps": STEPS, "seed": seed}
    run = RunFolder(folder, about)
    settings = FitSettings(
        epochs_of(1, STEPS, task), LEARNING_RATE, weight_decay=0.0, seed=seed, stage=folder.name
    )
    fit(task, settings, run)
    return run.load_best(task.model).eval().requires_grad_(False)
