"""Whose picture is it? Retrieval from a gallery, and re-identification by an independent classifier.

A restored face can be blurred to 15 dB and still be recognised; MSE, PSNR and SSIM track that weakly (Sun et
al., 2023). The classifier here is the *auditor's*: another architecture than any victim's, with
normalisation by groups instead of batches, trained on real pictures of the people in question. It measures
restored pictures, it is never part of an attack.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.data.augment import Augmentation, augment
from siftfunnel.lab.data.images import DataError, ImageSet, seeded_parts
from siftfunnel.lab.metrics.arrays import Array, pictures_tensor, to_tensor
from siftfunnel.lab.metrics.retrieval import Retrieval, retrieval, retrieval_of_pictures, retrieval_rank1
from siftfunnel.lab.training.checkpoints import RunFolder
from siftfunnel.lab.training.fitting import FitSettings, Task, fit

__all__ = [
    "IdentityClassifier",
    "IdentitySettings",
    "Retrieval",
    "reidentify",
    "retrieval",
    "retrieval_of_pictures",
    "retrieval_rank1",
    "train_identity_classifier",
]

LEAST_SIDE = 8
EVALUATION_BATCH = 250
AUGMENTATION = Augmentation(flip=True, shift_pixels=4, brightness=0.2, contrast=0.2, saturation=0.2)
_GROUPS = 8
_HELD_BACK_SHARE = 0.1


class _GroupBlock(nn.Module):
    """``x' + conv(relu(norm(conv(relu(norm(x))))))``, where x' is x, or 1x1-convolved when shapes change."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(_GROUPS, in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False),
        )
        self.second = nn.Sequential(
            nn.GroupNorm(_GROUPS, out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        y: Tensor = self.shortcut(x_NCHW) + self.second(self.first(x_NCHW))
        return y


class IdentityClassifier(nn.Module):
    """Pictures N x 3 x S x S in [0, 1] to class scores N x K; S is 8 or more and need not be fixed.

    ``conv 3x3 stride 2 -> 4 pre-activated residual blocks, widths w, 2w, 4w, 4w, halving after the first ->
    group norm -> mean and maximum over places -> linear``. 0.6 million parameters at w = 32.
    """

    def __init__(self, num_classes: int, *, width: int = 32) -> None:
        super().__init__()
        if width < _GROUPS or width % _GROUPS:
            raise ValueError(f"width must be a multiple of {_GROUPS}, got {width}")
        if num_classes < 2:
            raise ValueError(f"a classifier needs two classes or more, got {num_classes}")
        self.num_classes = num_classes
        self.features = nn.Sequential(
            nn.Conv2d(3, width, kernel_size=3, stride=2, padding=1, bias=False),
            _GroupBlock(width, width, 1),
            _GroupBlock(width, 2 * width, 2),
            _GroupBlock(2 * width, 4 * width, 2),
            _GroupBlock(4 * width, 4 * width, 1),
            nn.GroupNorm(_GROUPS, 4 * width),
            nn.ReLU(),
        )
        self.head = nn.Linear(8 * width, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Class scores; takes pictures as they are, the centring to [-1, 1] happens inside."""
        maps: Tensor = self.features(2 * x_NCHW - 1)
        scores: Tensor = self.head(torch.cat((maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))), dim=1))
        return scores


@dataclass(frozen=True)
class IdentitySettings:
    """Training of the auditor's classifier; all ours.

    Attributes:
        epochs: Passes over the pictures.
        learning_rate: Peak of AdamW's one-cycle schedule.
        batch_size: Pictures per step.
        width: Channels of the first block, a multiple of 8.
        weight_decay: Of AdamW.
        smoothing: Label smoothing, for classes with few pictures.
        augmentation: How training pictures are changed.
        seed: Of weights, order and augmentation.
    """

    epochs: int = 40
    learning_rate: float = 2e-3
    batch_size: int = 64
    width: int = 32
    weight_decay: float = 2e-2
    smoothing: float = 0.1
    augmentation: Augmentation = AUGMENTATION
    seed: int = 1


class IdentityTask(Task):
    """What the fitting loop runs: cross-entropy on changed pictures, scored by accuracy on held-back ones."""

    def __init__(
        self, train: ImageSet, validation: ImageSet, settings: IdentitySettings, device: torch.device
    ) -> None:
        torch.manual_seed(settings.seed)
        self.model: nn.Module = IdentityClassifier(len(train.classes), width=settings.width).to(device)
        self.batch_size = settings.batch_size
        self._settings = settings
        self._device = device
        self._images_NHWC = torch.from_numpy(train.images_NHWC).to(device)
        self._labels_N = torch.from_numpy(train.labels).to(device)
        self._validation = validation

    @property
    def samples_per_epoch(self) -> int:
        """All training pictures."""
        return len(self._labels_N)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Changed pictures N x 3 x S x S in [0, 1] and their labels."""
        for part in torch.split(torch.randperm(len(self._labels_N), generator=generator), self.batch_size):
            part = part.to(self._device)
            x_NHWC = augment(self._images_NHWC[part], self._settings.augmentation, generator)
            yield x_NHWC.permute(0, 3, 1, 2).contiguous(), self._labels_N[part]

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy with label smoothing."""
        x_NCHW, labels_N = batch
        loss = functional.cross_entropy(
            self.model(x_NCHW), labels_N, label_smoothing=self._settings.smoothing
        )
        return loss, {"loss": float(loss.detach())}

    def validate(self) -> dict[str, float]:
        """Accuracy on the held-back pictures."""
        x_NCHW = torch.from_numpy(self._validation.images_NHWC).permute(0, 3, 1, 2).float() / 255
        top1 = _hits(self.model, x_NCHW, torch.from_numpy(self._validation.labels), 1)
        return {"validation_accuracy": top1, "score": top1}


def train_identity_classifier(
    images: ImageSet,
    folder: Path,
    *,
    validation: ImageSet | None = None,
    settings: IdentitySettings | None = None,
    device: str | torch.device = "cpu",
) -> IdentityClassifier:
    """Train the auditor's classifier on real pictures in a run folder, or continue what is there.

    Args:
        images: Real pictures of the people (or classes) to recognise; not those that will be attacked.
        folder: The run folder; a finished one is only read.
        validation: Pictures that choose the epoch; a seeded tenth of ``images`` when left out.
        settings: Training; the defaults when left out.
        device: Where to train.

    Returns:
        The classifier with its best weights, in evaluation mode.

    Raises:
        DataError: too few pictures, too small ones, or other classes in ``validation``.
        RunFolderError: the folder holds a run with other settings or pictures.
    """
    settings = settings or IdentitySettings()
    if min(images.images_NHWC.shape[1:3]) < LEAST_SIDE or len(images) < 2:
        raise DataError(
            f"the identity classifier needs two pictures or more with sides of {LEAST_SIDE} pixels, "
            f"got {images.images_NHWC.shape[:3]}"
        )
    if validation is None:
        held_back = max(1, math.ceil(_HELD_BACK_SHARE * len(images)))
        parts = seeded_parts(len(images), (len(images) - held_back, held_back), settings.seed)
        images, validation = (images.take(part) for part in parts)
    if images.classes != validation.classes:
        raise DataError("training and validation pictures differ in classes; cut both from one set")
    task = IdentityTask(images, validation, settings, torch.device(device))
    about = {
        "identity_classifier": asdict(settings),
        "classes": list(images.classes),
        "pictures": {"train": len(images), "validation": len(validation)},
        "pixels_sha256": {"train": images.pixels_sha256(), "validation": validation.pixels_sha256()},
    }
    run = RunFolder(folder, about)
    fit(
        task,
        FitSettings(
            epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            seed=settings.seed,
        ),
        run,
    )
    run.load_best(task.model)
    assert isinstance(task.model, IdentityClassifier)
    task.model.eval()
    return task.model


@torch.no_grad()
def _hits(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, places: int) -> float:
    """Share of pictures whose label is among the ``places`` highest scores."""
    model.eval()
    device = next(model.parameters()).device
    found = [
        (model(x.to(device)).topk(places, dim=1).indices.cpu() == labels[:, None]).any(dim=1)
        for x, labels in zip(
            torch.split(x_NCHW, EVALUATION_BATCH), torch.split(labels_N, EVALUATION_BATCH), strict=True
        )
    ]
    return float(torch.cat(found).double().mean())


def reidentify(classifier: IdentityClassifier, restored_NCHW: Array, labels_N: Array) -> dict[str, float]:
    """Share of restored pictures that show the right person to the classifier.

    Chance is 1 / K and 5 / K for K classes. Put the figure of the originals beside it: what the classifier
    misses on them, it cannot find here.

    Args:
        classifier: From ``train_identity_classifier``.
        restored_NCHW: Restored pictures, float in [0, 1].
        labels_N: Who is in the original, indices into the classes that it was trained on.

    Returns:
        ``{"top1", "top5"}``; with fewer than five classes ``top5`` is 1.

    Raises:
        ValueError: pictures outside [0, 1], another number of labels, a label outside the classes.
    """
    x = pictures_tensor(restored_NCHW, "restored pictures").float()
    labels = to_tensor(labels_N).long()
    if labels.shape != (len(x),):
        raise ValueError(f"{len(x)} pictures need {len(x)} labels, got shape {tuple(labels.shape)}")
    if not 0 <= int(labels.min()) <= int(labels.max()) < classifier.num_classes:
        raise ValueError(f"labels must lie in 0..{classifier.num_classes - 1}, the classifier's classes")
    places = min(5, classifier.num_classes)
    return {"top1": _hits(classifier, x, labels, 1), "top5": _hits(classifier, x, labels, places)}
