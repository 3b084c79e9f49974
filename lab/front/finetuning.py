"""The network behind JPEG and WebP, trained on with such files: what the comparison owes to these formats.

The shipped network has seen clean pictures only, and answers a strongly compressed one worse than a network
must. So it is trained on from where it stands, every picture of a batch through a way of sending that is
drawn for it, and one network answers all ways: nobody would serve one network per quality.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from siftfunnel.lab.data.images import DataError, ImageSet, Splits
from siftfunnel.lab.front.pictures import PictureCoding
from siftfunnel.lab.front.points import Point, accuracy_fields
from siftfunnel.lab.graphs.unfolding import load_from_bundle
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.training.checkpoints import RunFolder
from siftfunnel.lab.training.classifier import (
    Batch,
    ClassifierTask,
    evaluate_logits,
    fit_settings,
    input_spec,
)
from siftfunnel.lab.training.fitting import fit
from siftfunnel.lab.training.recipes import RECIPES, Recipe, recipe
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.preprocess import normalise

LEARNING_RATE = 5e-4
STATISTICS_PICTURES = 512


def through_codings(
    images_NHWC: NDArray[np.uint8], codings: Sequence[PictureCoding], chosen_N: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Each picture as it arrives by the way of sending chosen for it."""
    ways = [codings[number] for number in chosen_N]
    pairs = zip(ways, images_NHWC, strict=True)
    return np.stack([way.decode(way.encode(picture), picture.shape) for way, picture in pairs])


class CompressedTask(ClassifierTask):
    """A classifier whose pictures arrive compressed; validation takes the ways in turn.

    Args:
        recipe: How it is trained on.
        splits: On which pictures.
        codings: The ways of sending.
        device: Where.
    """

    def __init__(
        self, recipe: Recipe, splits: Splits, codings: Sequence[PictureCoding], device: torch.device
    ) -> None:
        shown = splits.validation
        in_turn = np.arange(len(shown)) % len(codings)
        arrived = through_codings(shown.images_NHWC, codings, in_turn)
        super().__init__(recipe, replace(splits, validation=replace(shown, images_NHWC=arrived)), device)
        self._codings = tuple(codings)

    def batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """As ``ClassifierTask``'s, after the augmentation each picture by a way drawn for it."""
        for x_NCHW, labels, taught in super().batches(generator):
            pixels = (x_NCHW.permute(0, 2, 3, 1) * self._std + self._mean).clamp(0, 1)
            sent = (255 * pixels).round().to(torch.uint8).cpu().numpy()
            drawn = torch.randint(len(self._codings), (len(sent),), generator=generator)
            arrived = through_codings(sent, self._codings, drawn.numpy())
            x = torch.from_numpy(normalise(arrived, input_spec(self.recipe))).to(self.device)
            yield x.contiguous(memory_format=torch.channels_last), labels, taught


def fine_tuned_recipe(bundle: Bundle, epochs: int) -> Recipe:
    """The bundle's own recipe, going on from it.

    Raises:
        DataError: its report names no recipe that is known here.
    """
    named = bundle.report().get("training", {}).get("recipe", {}).get("name")
    if named not in RECIPES:
        raise DataError(
            f"bundle {bundle.name}: its report.json names no recipe of `siftfunnel lab recipes` to train on "
            f"with (it says {named!r}); leave --fine-tune out"
        )
    own = recipe(named)
    return replace(
        own,
        name=f"{own.name}:compressed",
        epochs=epochs,
        learning_rate=LEARNING_RATE,
        warm_start=None,
        begin_with=bundle.name,
    )


def fine_tuned_fields(
    bundle: Bundle,
    splits: Splits,
    images: ImageSet,
    codings: Sequence[PictureCoding],
    epochs: int,
    runs: Path,
    device: torch.device,
) -> dict[str, Point]:
    """Accuracy of the network trained on, by name of the way of sending; training continues in ``runs``.

    Args:
        bundle: The whole network.
        splits: Its training and validation pictures are used.
        images: Test pictures that are answered.
        codings: Ways of sending, all of which it is trained for.
        epochs: Passes over the training pictures.
        runs: Holds the run folder.
        device: Where to train.

    Raises:
        DataError: the bundle does not say how it was trained.
        ValueError: its graphs are not those of that recipe.
    """
    wanted = fine_tuned_recipe(bundle, epochs)
    task = CompressedTask(wanted, splits, codings, device)
    about = {
        "recipe": wanted.to_json(),
        "digest": bundle.digest,
        "codings": [coding.name for coding in codings],
        "train": splits.train.pixels_sha256(),
    }
    run = RunFolder(runs / f"compressed-{bundle.name}-{bundle.digest[:12]}", about)
    if run.is_fresh():
        x = normalise(splits.train.images_NHWC[:STATISTICS_PICTURES], input_spec(wanted))
        load_from_bundle(task.model.cpu(), bundle, torch.from_numpy(x))
        task.model.to(device)
    progress = fit(task, fit_settings(wanted), run)
    run.load_best(task.model)
    network = {"bundle": bundle.name, "digest": bundle.digest, "epochs": epochs}
    shared: dict[str, Any] = {
        "network": network,
        "best_epoch": progress.best_epoch,
        "recipe": wanted.to_json(),
    }
    return {
        coding.name: {**shared, **_answers(task, coding, images), "provenance": provenance()}
        for coding in codings
    }


def _answers(task: CompressedTask, coding: PictureCoding, images: ImageSet) -> Point:
    arrived = through_codings(images.images_NHWC, (coding,), np.zeros(len(images), dtype=np.int64))
    shown = replace(images, images_NHWC=arrived)
    logits = evaluate_logits(task.model, shown, input_spec(task.recipe), task.device)
    return accuracy_fields(logits.argmax(1) == images.labels, images.labels)
