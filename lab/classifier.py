"""Training a split network: the task that the fitting loop runs for a recipe."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lab.augment import augment
from lab.data import DataError, ImageSet, Splits
from lab.losses import siftfunnel_loss
from lab.models.cnn import SplitNetwork, build_network
from lab.models.layout import channels_last
from lab.recipes import Recipe
from lab.train import FitSettings
from shared.preprocess import InputSpec, normalise

EVALUATION_BATCH = 250


def input_spec(recipe: Recipe) -> InputSpec:
    """What the device must feed the edge: a centred square, normalised by the paper's statistics."""
    return InputSpec(height=recipe.input_size, width=recipe.input_size)


def check_fits(images: ImageSet, recipe: Recipe) -> None:
    """Refuse pictures of another size than the recipe's input."""
    size = images.images_NHWC.shape[1:3]
    if size != (recipe.input_size, recipe.input_size):
        raise DataError(
            f"recipe {recipe.name} wants {recipe.input_size}x{recipe.input_size} pictures, got {size}"
        )


class ClassifierTask:
    """A split network with Eq. 15, or plain cross-entropy when the recipe has no loss weights."""

    def __init__(self, recipe: Recipe, splits: Splits, device: torch.device) -> None:
        for images in (splits.train, splits.validation):
            check_fits(images, recipe)
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.device = device
        self.batch_size = recipe.batch_size
        network = build_network(
            recipe.architecture,
            width=recipe.width,
            input_size=recipe.input_size,
            num_classes=len(splits.train.classes),
        )
        self.model = channels_last(network.to(device))
        self._images_NHWC = torch.from_numpy(splits.train.images_NHWC).to(device)
        self._labels = torch.from_numpy(splits.train.labels).to(device)
        self._validation = splits.validation
        spec = input_spec(recipe)
        self._mean = torch.tensor(spec.mean, device=device)
        self._std = torch.tensor(spec.std, device=device)

    @property
    def samples_per_epoch(self) -> int:
        """Training pictures in whole batches: a short last batch would skew the distance correlation."""
        whole = len(self._labels) // self.batch_size * self.batch_size
        return whole or len(self._labels)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented, normalised pictures N x 3 x S x S (channels last in memory) and their labels."""
        order = torch.randperm(len(self._labels), generator=generator)[: self.samples_per_epoch]
        for part in torch.split(order, self.batch_size):
            part = part.to(self.device)
            x_NHWC = augment(self._images_NHWC[part], self.recipe.augmentation, generator)
            yield ((x_NHWC - self._mean) / self._std).permute(0, 3, 1, 2), self._labels[part]

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The recipe's loss on one batch."""
        x, labels = batch
        z = self.model.edge(x)
        logits = self.model.cloud(z)
        correct = {"train_accuracy": float((logits.detach().argmax(1) == labels).float().mean())}
        if self.recipe.loss is None:
            loss = functional.cross_entropy(logits, labels)
            return loss, {"loss": float(loss.detach()), **correct}
        parts = siftfunnel_loss(x, z, logits, labels, self.recipe.loss)
        return parts.total, {**parts.as_floats(), **correct}

    def validate(self) -> dict[str, float]:
        """Accuracy on the validation pictures."""
        accuracy = self.accuracy(self._validation)
        return {"validation_accuracy": accuracy, "score": accuracy}

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
    )
