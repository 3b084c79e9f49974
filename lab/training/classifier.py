"""Training a split network: the task that the fitting loop runs for a recipe."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from siftfunnel.lab.data.augment import augment
from siftfunnel.lab.data.images import DataError, ImageSet, Splits
from siftfunnel.lab.defences.defence import Step
from siftfunnel.lab.networks.layout import channels_last
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.training.fitting import FitSettings, Task, adamw
from siftfunnel.lab.training.recipes import Recipe
from siftfunnel.shared.preprocess import InputSpec, normalise

EVALUATION_BATCH = 250

Batch = tuple[Tensor, Tensor, Tensor | None]


def input_spec(recipe: Recipe) -> InputSpec:
    """What the device must feed the edge: a centred square, normalised as the recipe says."""
    known = recipe.normalisation
    statistics = {} if known is None else {"mean": known.mean, "std": known.std}
    return InputSpec(height=recipe.input_size, width=recipe.input_size, **statistics)  # type: ignore[arg-type]


def check_fits(images: ImageSet, recipe: Recipe) -> None:
    """Refuse pictures of another size than the recipe's input."""
    size = images.images_NHWC.shape[1:3]
    if size != (recipe.input_size, recipe.input_size):
        raise DataError(
            f"recipe {recipe.name} wants {recipe.input_size}x{recipe.input_size} pictures, got {size}"
        )


def samples_per_epoch(recipe: Recipe, pictures: int) -> int:
    """Training pictures in whole batches: a short last batch would skew the distance correlation."""
    wanted = min(pictures, recipe.pictures_per_epoch or pictures)
    return wanted // recipe.batch_size * recipe.batch_size or wanted


def steps_per_epoch(recipe: Recipe, pictures: int) -> int:
    """Batches in an epoch."""
    return math.ceil(samples_per_epoch(recipe, pictures) / recipe.batch_size)


class ClassifierTask(Task):
    """A split network with its defence's loss.

    Args:
        recipe: What is trained.
        splits: On which pictures.
        device: Where.
        taught_NK: Class probabilities that the recipe's teachers give the training pictures.
    """

    def __init__(
        self, recipe: Recipe, splits: Splits, device: torch.device, taught_NK: Tensor | None = None
    ) -> None:
        for images in (splits.train, splits.validation):
            check_fits(images, recipe)
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.device = device
        self.batch_size = recipe.batch_size
        network = recipe.defence.build(
            recipe.family,
            width=recipe.width,
            input_size=recipe.input_size,
            num_classes=len(splits.train.classes),
        )
        self.model: SplitNetwork = channels_last(network.to(device))
        self._images_NHWC = torch.from_numpy(splits.train.images_NHWC).to(device)
        self._labels = torch.from_numpy(splits.train.labels).to(device)
        self._taught_NK = None if taught_NK is None else taught_NK.to(device)
        self._validation = splits.validation
        self._steps_done = 0
        spec = input_spec(recipe)
        self._mean = torch.tensor(spec.mean, device=device)
        self._std = torch.tensor(spec.std, device=device)

    @property
    def samples_per_epoch(self) -> int:
        """Training pictures in one epoch."""
        return samples_per_epoch(self.recipe, len(self._labels))

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return steps_per_epoch(self.recipe, len(self._labels))

    def make_optimizer(self, model: nn.Module, settings: FitSettings) -> torch.optim.Optimizer:
        """The usual optimiser, or what the defence makes of it."""
        return self.recipe.defence.optimizer(self.model, adamw(model, settings), self.batch_size)

    def begin_epoch(self, epoch: int) -> None:
        """Take note of where training stands, so that a resumed run goes on with the same schedule."""
        self._steps_done = epoch * self.steps_per_epoch

    def batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Augmented, normalised pictures N x 3 x S x S (channels last in memory), labels, soft labels."""
        pictures, samples = len(self._labels), self.samples_per_epoch
        for drawn in self.recipe.defence.batches(pictures, samples, self.batch_size, generator):
            part = drawn.to(self.device)
            x_NHWC = augment(self._images_NHWC[part], self.recipe.augmentation, generator)
            taught = None if self._taught_NK is None else self._taught_NK[part]
            yield ((x_NHWC - self._mean) / self._std).permute(0, 3, 1, 2), self._labels[part], taught

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """The defence's loss on one batch."""
        x, labels, taught = batch
        share_done = self._steps_done / (self.recipe.epochs * self.steps_per_epoch)
        self._steps_done += 1
        if not len(labels):
            # Poisson sampling may draw nobody: then the private step is noise alone
            return sum(p.sum() * 0 for p in self.model.parameters()), {}  # type: ignore[return-value]
        z, logits, hidden = self.model.trace(x)
        made = self.recipe.defence.loss(Step(x, z, logits, labels, hidden, self.model, share_done, taught))
        logged = {name: value.detach() for name, value in made.parts.items()}
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        return made.total, {"loss": made.total.detach(), **logged, "train_accuracy": accuracy}

    def validate(self) -> dict[str, float]:
        """What the defence says of the network on the validation pictures; usually its accuracy."""
        return self.recipe.defence.validate(self.model, lambda: self.accuracy(self._validation))

    def accuracy(self, images: ImageSet) -> float:
        """Share of pictures whose best class is the right one."""
        logits = evaluate_logits(self.model, images, input_spec(self.recipe), self.device)
        return float((logits.argmax(1) == images.labels).mean())


def evaluate_logits(
    model: SplitNetwork, images: ImageSet, spec: InputSpec, device: torch.device
) -> NDArray[np.float32]:
    """Logits N x K with dropout and batch statistics off."""
    model.eval()
    outputs: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for start in range(0, len(images), EVALUATION_BATCH):
            x = torch.from_numpy(normalise(images.images_NHWC[start : start + EVALUATION_BATCH], spec))
            x = x.to(device=device, memory_format=torch.channels_last)
            outputs.append(model(x).float().cpu().numpy())
    return np.concatenate(outputs)


def fit_settings(recipe: Recipe) -> FitSettings:
    """The part of a recipe that the fitting loop needs."""
    return FitSettings(
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        warmup_share=recipe.warmup_share,
        beta1=recipe.beta1,
        weight_decay=recipe.weight_decay,
        seed=recipe.seed,
        stop_at=recipe.stop_at_accuracy,
    )
