"""Equal-byte pictures: for a picture, others that send exactly the same bytes.

    x and x' send the same y  =>  whatever an attacker answers to y,
    the mean of his errors on both is at least |x - x'|^2 / 4 per pixel, that of a set its variance

That needs no assumption on the attacker, and one on the codec: no noise. It says nothing of x alone before
an attacker who knows that x' is no picture that anybody would send.

Search: from a start, descend in the ruler's coordinates on what lies outside of the codec's cells, held back
by the distance to the start, while a tenth of the gradient passes closed rectifiers. What counts is checked
by ``Sender``: 8-bit pixels, the product's preprocessing, ONNX Runtime and codec.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.certify.ruler import Ruler
from siftfunnel.lab.certify.sender import Cells, Pixels, Sender

MARGIN = 0.12
"""Share of a step that values keep from their cell's ends, so that rounding to 8 bits leaves them inside."""
LEAK = 0.1
"""Share of the gradient that passes a closed rectifier."""
RATE, BOX_WEIGHT, LINEAR_WEIGHT = 0.06, 20.0, 0.3
LAST_HINGE = 40.0
"""By what the weight of the cells grows until the end, beside 1 in the beginning."""
CHECKED_EVERY = 10

Prior = Callable[[Tensor], Tensor]
"""A penalty of each of N pictures; 0 where it has nothing to say against one."""


class _Leaking(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.where(x > 0, gradients[0], LEAK * gradients[0])


class LeakingRectifiers(TorchFunctionMode):
    """Within it a rectifier computes what it did, and lets some gradient through where it is closed."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See PyTorch."""
        if func in (torch.relu, torch.nn.functional.relu, Tensor.relu):
            return _Leaking.apply(args[0])  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Twins:
    """What a search found.

    Attributes:
        pixels_NHWC: One for each picture; zeros where none was found.
        found_N: Where one was found.
    """

    pixels_NHWC: Pixels
    found_N: NDArray[np.bool_]


@dataclass(frozen=True)
class Search:
    """Everything that a search needs.

    Attributes:
        sender: The device.
        features: Pictures in [0, 1] to clean features as its codec takes them; differentiable.
        ruler: Its coordinates are those of the search.
        iterations: How long it lasts.
        show: Takes a line of progress.
    """

    sender: Sender
    features: Callable[[Tensor], Tensor]
    ruler: Ruler
    iterations: int
    show: Callable[[str], None]

    def twins(
        self,
        pixels_NHWC: Pixels,
        cells: Cells,
        start_NCHW: Tensor,
        prior: Prior | None = None,
        anchor: float = 1.0,
    ) -> Twins:
        """The farthest picture of equal bytes that was met on the way from each start.

        Args:
            pixels_NHWC: The pictures.
            cells: Of their features.
            start_NCHW: One start for each.
            prior: What else a picture must satisfy to count: no penalty.
            anchor: Weight of the distance to the start.
        """
        payloads = self.sender.payloads(pixels_NHWC)
        best, farthest = np.zeros_like(pixels_NHWC), np.zeros(len(pixels_NHWC))
        t = self.ruler.coordinates_of(start_NCHW).requires_grad_(True)
        first = t.detach().clone()
        optimizer = torch.optim.Adam([t], lr=RATE)
        for step in range(self.iterations):
            done = step / self.iterations
            x = self.ruler.pictures_of(t)
            held = anchor * max(0.0, 1 - 1.5 * done)
            loss = self._loss(x, cells, done) + held * (t - first).square().mean(1)
            if prior is not None:
                loss = loss + prior(x)
            optimizer.zero_grad()
            loss.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.param_groups[0]["lr"] = RATE * (1 - 0.8 * done)
            optimizer.step()
            if (step + 1) % CHECKED_EVERY == 0:
                self._keep(t, pixels_NHWC, payloads, cells, prior, best, farthest)
            if (step + 1) % (10 * CHECKED_EVERY) == 0:
                found = int((farthest > 0).sum())
                self.show(f"equal bytes: {found}/{len(t)} found, {done:.0%} of the search")
        return Twins(best, farthest > 0)

    def _loss(self, x_NCHW: Tensor, cells: Cells, done: float) -> Tensor:
        with LeakingRectifiers():
            z = self.features(x_NCHW)
        outside = cells.misses(z, MARGIN).flatten(1)
        hinge = outside.square().sum(1) + LINEAR_WEIGHT * outside.sum(1)
        box = ((-x_NCHW).clamp_min(0) + (x_NCHW - 1).clamp_min(0)).square().flatten(1).sum(1)
        return hinge * (1 + LAST_HINGE * done) + BOX_WEIGHT * box

    @torch.no_grad()
    def _keep(
        self,
        t: Tensor,
        pixels_NHWC: Pixels,
        payloads: list[bytes],
        cells: Cells,
        prior: Prior | None,
        best: Pixels,
        farthest: NDArray[np.float64],
    ) -> None:
        """Take what sends equal bytes and is farther away than what was found before."""
        levels = (self.ruler.pictures_of(t).clamp(0, 1) * 255).round()
        inside = (cells.misses(self.features(levels / 255)).flatten(1) == 0).all(1)
        if prior is not None:
            inside &= prior(levels / 255) == 0
        made = levels.permute(0, 2, 3, 1).to(torch.uint8).numpy()
        for place in inside.nonzero().flatten().tolist():
            away = mean_squares(made[place : place + 1], pixels_NHWC[place : place + 1])[0]
            if away > farthest[place] and self.sender.payloads(made[place : place + 1]) == [payloads[place]]:
                best[place], farthest[place] = made[place], away


def mean_squares(a_NHWC: Pixels, b_NHWC: Pixels) -> NDArray[np.float64]:
    """Mean squared difference per pixel of each pair, of values in [0, 1]."""
    return np.asarray(np.square(a_NHWC / 255 - b_NHWC / 255).mean(axis=(1, 2, 3)))


def beyond(pictures_NCHW: Tensor, guess_NCHW: Tensor) -> Tensor:
    """Starts on the other side of an attacker's answer: with a twin there he errs as much on either."""
    return (2 * guess_NCHW - pictures_NCHW).clamp(0, 1)


def likest(
    arrived_NCHW: NDArray[np.float32], gallery_NHWC: Pixels, sender: Sender, steps_C: Tensor
) -> Tensor:
    """Other real pictures, those whose features are nearest, as starts."""
    scale = steps_C.double().numpy()[:, None, None]
    theirs = sender.features(gallery_NHWC) / scale
    nearest = [int(np.abs(theirs - own / scale).sum(axis=(1, 2, 3)).argmin()) for own in arrived_NCHW]
    return to_floats(torch.from_numpy(np.ascontiguousarray(gallery_NHWC[nearest])))
