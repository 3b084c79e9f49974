"""A small network that knows pictures again: trained on somebody's own pictures, without any download.

    picture --at most 64 pixels a side--> four stages --> which picture it is (embedding), its class

It learns to tell a picture that has been blurred, shifted, recoloured or made noisy from all others of a
batch (InfoNCE, van den Oord et al., 2018), and, where there are labels, its class. The judge of
reconstructions is one (``siftfunnel.lab.metrics.identity``), and an attacker who seeks identity trains one of
his own with another seed and width, so that he does not see the judge. All sizes are *ours*.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.networks.layout import channels_last

MOST_SIDE = 64
PICTURES_AT_ONCE = 256
CALIBRATION_PICTURES = 200
MOST_PASSES = 20


@dataclass(frozen=True)
class RecogniserSettings:
    """How a recogniser is built and trained.

    Attributes:
        width: Channels of the first stage; later ones have two, four and four times as many.
        steps: Training steps; fewer where that would be more than ``MOST_PASSES`` over the pictures.
        batch: Pictures per step, each the others' counter-example.
        learning_rate: Peak of a one-cycle schedule.
        temperature: By which similarities are divided.
        seed: Of weights, order and changes.
    """

    width: int = 24
    steps: int = 1_000
    batch: int = 64
    learning_rate: float = 3e-3
    temperature: float = 0.1
    seed: int = 101


class Recogniser(nn.Module):
    """Stages, an embedding that tells pictures apart, and a head for classes.

    Args:
        width: Channels of the first stage.
        classes: Of the head; 0 has none.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width, 4 * width)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel_size=3, stride=1 + (level > 0), padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            )
            for level, (inputs, outputs) in enumerate(pairwise(widths))
        )
        self.embedding = nn.Linear(4 * widths[-1], 128)
        self.head = nn.Linear(4 * widths[-1], classes) if classes else None

    def activations(self, x_NCHW: Tensor) -> list[Tensor]:
        """What each stage makes of pictures in [0, 1]."""
        if max(x_NCHW.shape[2:]) > MOST_SIDE:
            share = MOST_SIDE / max(x_NCHW.shape[2:])
            sides = tuple(max(8, round(side * share)) for side in x_NCHW.shape[2:])
            x_NCHW = functional.interpolate(x_NCHW, size=sides, mode="area")
        h = ((x_NCHW - 0.5) * 4).contiguous(memory_format=torch.channels_last)
        made = []
        for stage in self.stages:
            h = stage(h)
            made.append(h)
        return made

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embeddings of unit length, and logits where there are classes."""
        return self.said(self.activations(x_NCHW))

    def said(self, activations: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """The same from what the stages made."""
        pooled = functional.adaptive_avg_pool2d(activations[-1], 2).flatten(1)
        embedded = functional.normalize(self.embedding(pooled), dim=1)
        return embedded, None if self.head is None else self.head(pooled)


def perceptual_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Squared distance of unit-length activations per picture, averaged over places and stages.

    After LPIPS (Zhang et al., CVPR 2018), unweighted and with a network of our own, so its numbers are not
    theirs.
    """
    apart = [
        (functional.normalize(one, dim=1) - functional.normalize(other, dim=1)).square().sum(1).mean((1, 2))
        for one, other in zip(a, b, strict=True)
    ]
    return torch.stack(apart).mean(0)


def contrast(queries_ND: Tensor, own_ND: Tensor, temperature: float) -> Tensor:
    """InfoNCE of queries that must find their own among all of the batch."""
    return functional.cross_entropy(
        queries_ND @ own_ND.T / temperature, torch.arange(len(own_ND), device=own_ND.device)
    )


def spoiled(x_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures as a poor reconstruction has them: each batch blurred, shifted, recoloured and made noisy."""

    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).to(x_NCHW.device)

    count, _, height, width = x_NCHW.shape
    factor = 1 + int(torch.randint(6, (), generator=generator))
    small = functional.interpolate(
        x_NCHW, size=(max(4, height // factor), max(4, width // factor)), mode="area"
    )
    blurred = functional.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)
    down, right = (int(torch.randint(5, (), generator=generator)) - 2 for _ in range(2))
    moved = functional.pad(blurred, (2, 2, 2, 2), mode="replicate")
    moved = moved[:, :, 2 + down : 2 + down + height, 2 + right : 2 + right + width]
    contrast_N, shift = 0.6 + 0.6 * drawn(count, 1, 1, 1), 0.2 * (drawn(count, 3, 1, 1) - 0.5)
    mean = moved.mean((1, 2, 3), keepdim=True)
    noise = torch.randn(moved.shape, generator=generator).to(x_NCHW.device) * 0.1 * drawn(count, 1, 1, 1)
    return ((moved - mean) * contrast_N + mean + shift + noise).clamp(0, 1)


def train_recogniser(
    images_NHWC: Tensor,
    labels_N: NDArray[np.int64] | None,
    settings: RecogniserSettings,
    device: torch.device,
) -> Recogniser:
    """Train on ``uint8`` pictures; labels of one class, or None, train no head.

    Deterministic on one machine: everything random comes from the seed.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    classes = 0 if labels_N is None or len(np.unique(labels_N)) < 2 else int(labels_N.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = channels_last(Recogniser(settings.width, classes)).to(device)
    labels = None if not classes else torch.from_numpy(np.asarray(labels_N, dtype=np.int64)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=1e-2)
    batch = min(settings.batch, len(images_NHWC))
    steps = min(settings.steps, MOST_PASSES * -(-len(images_NHWC) // batch))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, steps)
    for _ in range(steps):
        part = torch.randint(len(images_NHWC), (batch,), generator=generator)
        images = images_NHWC[part]
        mirrored = torch.rand(batch, generator=generator) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(2), images).to(device)
        x_NCHW = images.permute(0, 3, 1, 2).float() / 255
        whole, logits = model(torch.cat([spoiled(x_NCHW, generator), x_NCHW]))
        loss = contrast(whole[:batch], whole[batch:], settings.temperature)
        if logits is not None and labels is not None:
            loss = loss + functional.cross_entropy(logits, labels[part.to(device)].repeat(2))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return model.eval().requires_grad_(False)


_KNOWN: dict[str, Recogniser] = {}


def recogniser_of(
    images_NHWC: Tensor,
    labels_N: NDArray[np.int64] | None,
    settings: RecogniserSettings,
    device: torch.device,
    folder: Path | None = None,
) -> Recogniser:
    """The recogniser of these pictures, trained once in a process, and once ever where there is a folder.

    Args:
        images_NHWC: ``uint8``.
        labels_N: Their classes, or None.
        settings: Size and training.
        device: Where to train.
        folder: Keeps ``recogniser-KEY.safetensors``.
    """
    told = hashlib.sha256(json.dumps(asdict(settings)).encode())
    told.update(images_NHWC.cpu().contiguous().numpy().tobytes())
    told.update(b"" if labels_N is None else np.ascontiguousarray(labels_N).tobytes())
    key = told.hexdigest()[:16]
    path = None if folder is None else folder / f"recogniser-{key}.safetensors"
    if key not in _KNOWN and path is not None and path.is_file():
        weights = load_file(path)
        classes = len(weights["head.bias"]) if "head.bias" in weights else 0
        model = Recogniser(settings.width, classes)
        model.load_state_dict(weights)
        _KNOWN[key] = channels_last(model).eval().requires_grad_(False)
    if key not in _KNOWN:
        _KNOWN[key] = train_recogniser(images_NHWC, labels_N, settings, device)
    if path is not None and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.cpu().contiguous() for name, value in _KNOWN[key].state_dict().items()}, path)
    return _KNOWN[key].to(device)
