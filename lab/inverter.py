"""Training the attacker's decoder for a bundle, and exporting it as an artefact of its own.

The attacker knows the bundle (its edge half computes the features here, exactly as the device would) and owns
auxiliary pictures that the network was neither trained nor tested on. A tenth of those is held back to choose
the best epoch; the figures in the report are measured on the target's test pictures, which no part of the
attack has seen, of frames that went through each of the bundle's codecs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from siftfunnel.lab.data.augment import Augmentation, augment
from siftfunnel.lab.data.datasets import load_splits
from siftfunnel.lab.data.images import DataError, ImageSet, seeded_parts
from siftfunnel.lab.data.own import load_own
from siftfunnel.lab.export.bundle import ExportError
from siftfunnel.lab.export.folding import folded_copy, round_to_half
from siftfunnel.lab.export.graph import write_onnx
from siftfunnel.lab.export.trained_on import dataset_of
from siftfunnel.lab.heard import Device, arrived, build_inverter, opening_of, wire_of
from siftfunnel.lab.networks.decoder import DecoderSettings
from siftfunnel.lab.networks.split import count_parameters
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.sessions import OnnxModel
from siftfunnel.lab.training.checkpoints import RunFolder
from siftfunnel.lab.training.fitting import FitSettings, Task, fit
from siftfunnel.shared.bundle import EDGE, Bundle, Inverter, load_bundle, load_inverter, write_inverter
from siftfunnel.shared.inverter import STATEMENT
from siftfunnel.shared.preprocess import InputSpec
from siftfunnel.shared.similarity import mse, psnr, ssim
from siftfunnel.shared.storage import require_own
from siftfunnel.shared.wire import make_codecs

RELATIVE_TOLERANCE = 1e-4
STATISTICS_PICTURES = 1000
SCORED_PICTURES = 1000
COMPARED_PICTURES = 200
LEAST_OWN, LEAST_SCORED = 40, 8
MOST_SIDE, LARGE_PIXELS, LARGE_SCORED = 256, 64 * 64, 100
SMALL_SHOWN, LARGE_SHOWN = 30_000, 9_000
"""Pictures that training looks at, at least, of a folder: a dozen minutes on one core at 224x224."""
LEAST_EPOCHS, MOST_EPOCHS = 12, 100
TRAINING_FIELDS = (
    "parameters",
    "input",
    "output",
    "largest_difference_from_pytorch",
    "training",
    "provenance",
)
"""What a report says of the model itself and stays true when its figures are measured anew."""


@dataclass(frozen=True)
class InverterRecipe:
    """How a decoder is trained; one data set's bundles share it, so that they face the same attacker.

    Attributes:
        dataset: Name in ``siftfunnel.lab.data.datasets.DATASETS``; the bundle's pictures must look like its.
        epochs: Passes over the auxiliary pictures.
        decoder: Size of the decoder.
        batch_size: Pictures per step.
        learning_rate: Peak of the one-cycle schedule.
        augmentation: Changes of the auxiliary pictures; the features are computed from the changed ones.
        held_back_share: Share of the auxiliary pictures that chooses the best epoch.
        seed: Seed of everything random.
    """

    dataset: str
    epochs: int
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(flip=True, shift_pixels=3))
    held_back_share: float = 0.1
    seed: int = 1


INVERTERS: dict[str, InverterRecipe] = {
    "cifar10": InverterRecipe(dataset="cifar10", epochs=12, batch_size=32),
    "drawnfaces": InverterRecipe(dataset="drawnfaces", epochs=16, batch_size=16),
}
"""The decoder's recipe for each data set."""


def inverter_recipe(bundle: Bundle) -> InverterRecipe:
    """The recipe for a bundle, by the data set that it was trained on.

    Raises:
        ValueError: it names none, or one without a recipe; the text lists those that have one.
    """
    dataset = dataset_of(bundle)
    if dataset not in INVERTERS:
        raise ValueError(
            f"no inverter recipe for bundle {bundle.name}, trained on {dataset or 'unnamed pictures'}; "
            f"recipes are for {', '.join(sorted(INVERTERS))}: give --images FOLDER, pictures like its own"
        )
    return INVERTERS[dataset]


class DecoderTask(Task):
    """A decoder that learns to undo a bundle's edge half."""

    def __init__(
        self, recipe: InverterRecipe, bundle: Bundle, auxiliary: ImageSet, device: torch.device
    ) -> None:
        manifest = bundle.manifest
        size = auxiliary.images_NHWC.shape[1:3]
        if size != (manifest.input.height, manifest.input.width):
            raise DataError(
                f"bundle {manifest.name} takes {manifest.input.height}x{manifest.input.width} pictures, "
                f"the auxiliary ones are {size[0]}x{size[1]}"
            )
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.batch_size = recipe.batch_size
        self.device = device
        self._edge, self._codec = Device(bundle), wire_of(bundle)
        held_back = max(1, round(len(auxiliary) * recipe.held_back_share))
        kept, chosen = seeded_parts(len(auxiliary), (len(auxiliary) - held_back, held_back), recipe.seed)
        self._images_NHWC = torch.from_numpy(auxiliary.images_NHWC[kept])
        self._held_back = torch.from_numpy(auxiliary.images_NHWC[chosen]).float() / 255
        features = self._features(self._images_NHWC[:STATISTICS_PICTURES].float() / 255)
        self.model: nn.Module = build_inverter(bundle, opening_of(bundle), features, recipe.decoder).to(
            device
        )

    def _features(self, x_NHWC: Tensor) -> Tensor:
        return torch.from_numpy(arrived(self._codec, self._edge.of_floats(x_NHWC)))

    @property
    def samples_per_epoch(self) -> int:
        """Auxiliary pictures without those held back."""
        return len(self._images_NHWC)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Features of changed pictures, and the changed pictures N x 3 x S x S in [0, 1]."""
        order = torch.randperm(len(self._images_NHWC), generator=generator)
        for part in torch.split(order, self.batch_size):
            x_NHWC = augment(self._images_NHWC[part], self.recipe.augmentation, generator)
            feature = self._features(x_NHWC).to(device=self.device, memory_format=torch.channels_last)
            yield feature, x_NHWC.permute(0, 3, 1, 2).to(self.device)

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Mean over pictures of log(squared error), which is mean PSNR up to sign and scale."""
        feature, x_NCHW = batch
        error_N = (self.model(feature) - x_NCHW).square().mean(dim=(1, 2, 3))
        loss = (error_N + 1e-6).log().mean()
        return loss, {"mse": float(error_N.detach().mean())}

    def validate(self) -> dict[str, float]:
        """Mean per-picture PSNR in dB on the pictures held back."""
        errors: list[Tensor] = []
        for x_NHWC in torch.split(self._held_back, self.batch_size):
            feature = self._features(x_NHWC).to(device=self.device, memory_format=torch.channels_last)
            wanted = x_NHWC.permute(0, 3, 1, 2).to(self.device)
            errors.append((self.model(feature) - wanted).square().mean(dim=(1, 2, 3)).cpu())
        decibels = float((-10 * torch.cat(errors).clamp_min(1e-10).log10()).mean())
        return {"held_back_psnr": decibels, "score": decibels}


def convert_decoder(decoder: nn.Module, feature_shape: tuple[int, int, int]) -> tuple[nn.Module, bytes]:
    """A decoder with weights rounded to half precision, and its graph."""
    stored = round_to_half(folded_copy(decoder))
    model = write_onnx(stored, input_name="feature", input_shape=feature_shape, output_name="image")
    return stored, model


def verify_decoder(stored: nn.Module, model: bytes, features: NDArray[np.float32]) -> float:
    """Largest difference between ONNX Runtime and PyTorch on real features; pictures lie in [0, 1].

    Raises:
        ExportError: above ``RELATIVE_TOLERANCE``.
    """
    with torch.inference_mode():
        expected = stored(torch.from_numpy(features)).numpy()
    difference = float(np.abs(OnnxModel(model)(features) - expected).max())
    if not difference <= RELATIVE_TOLERANCE:
        raise ExportError(
            f"the decoder's graph differs from PyTorch by {difference:.2e}; nothing was written"
        )
    return difference


def score(pictures_NHWC: NDArray[np.float32], restored_NCHW: NDArray[np.float32]) -> dict[str, float]:
    """Mean standard MSE, PSNR and SSIM per picture, with median and 95th percentile of the PSNR."""
    pairs = list(zip(pictures_NHWC, restored_NCHW.transpose(0, 2, 3, 1).clip(0, 1), strict=True))
    decibels = np.array([psnr(a, b) for a, b in pairs])
    return {
        "pictures": len(pairs),
        "mse_mean": float(np.mean([mse(a, b) for a, b in pairs])),
        "psnr_mean": float(decibels.mean()),
        "psnr_median": float(np.median(decibels)),
        "psnr_p95": float(np.quantile(decibels, 0.95)),
        "ssim_mean": float(np.mean([ssim(a, b) for a, b in pairs])),
    }


@dataclass(frozen=True)
class Parts:
    """Whose pictures an inverter is trained and measured on.

    Attributes:
        auxiliary: The attacker's own.
        test: The target's, which no part of the attack has seen.
        says: Which those are, for the report.
        told: What else the report says of them.
    """

    auxiliary: ImageSet
    test: ImageSet
    says: str = "the target's test pictures, evenly spread over their classes"
    told: Mapping[str, Any] = field(default_factory=dict)


def parts_for(
    bundle: Bundle, dataset: str, data: Path | None, cache: Path | None, images: Path | None
) -> Parts:
    """The data set's parts, or those of a folder of anybody's pictures.

    Raises:
        DataError: pictures that are missing, too few or of another size.
    """
    if images is None:
        splits = load_splits(dataset, data, cache, size=bundle.manifest.input.height)
        return Parts(splits.auxiliary, splits.test)
    own = load_own(images, bundle.manifest.input, attacker=LEAST_OWN, attacked=LEAST_SCORED)
    told = {"name": own.name, "pictures": len(own), "pixels_sha256": own.sha256, "notes": list(own.notes)}
    return Parts(own.attacker, own.attacked, f"a part of {own.name} that the attacker does not own", told)


def own_recipe(images: Path, pictures: int, spec: InputSpec) -> InverterRecipe:
    """A decoder's recipe for a folder of pictures: as many passes as make enough steps."""
    if max(spec.height, spec.width) > MOST_SIDE:
        raise DataError(
            f"inverters are made for pictures of up to {MOST_SIDE}x{MOST_SIDE}, the bundle takes "
            f"{spec.height}x{spec.width}"
        )
    is_large = spec.height * spec.width > LARGE_PIXELS
    shown = LARGE_SHOWN if is_large else SMALL_SHOWN
    return InverterRecipe(
        dataset=images.resolve().name,
        epochs=min(MOST_EPOCHS, max(LEAST_EPOCHS, -(-shown // pictures))),
        batch_size=8 if is_large else 16,
    )


def measure(bundle: Bundle, parts: Parts, inverter: OnnxModel) -> dict[str, Any]:
    """What an inverter restores of test pictures after each codec of its bundle.

    Returns:
        ``codecs``: figures of ``score`` by codec, of frames as the cloud decodes them. ``held_out_pictures``:
        which pictures. ``mean_picture_instead``: what guessing gets on them.
    """
    is_large = bundle.manifest.input.height * bundle.manifest.input.width > LARGE_PIXELS
    test = parts.test.spread(LARGE_SCORED if is_large else SCORED_PICTURES)
    features = Device(bundle).of_pixels(test.images_NHWC)
    pictures = (test.images_NHWC / 255).astype(np.float32)
    figures = {}
    for codec in make_codecs(bundle.manifest, bundle.digest):
        decoded = np.stack([codec.decode(codec.encode(feature)) for feature in features])
        figures[codec.name] = score(pictures, inverter(decoded))
    return {
        "codecs": figures,
        "held_out_pictures": parts.says,
        "mean_picture_instead": mean_picture_score(parts.auxiliary, test),
        **({"pictures": dict(parts.told)} if parts.told else {}),
        "measured": provenance(),
    }


def mean_picture_score(auxiliary: ImageSet, images: ImageSet) -> dict[str, float]:
    """What an attacker scores who never looks at the wire and always answers the mean auxiliary picture."""
    guess = (auxiliary.images_NHWC.mean(axis=0) / 255).astype(np.float32)
    pictures = images.images_NHWC.astype(np.float32) / 255
    return {
        "mse_mean": float(np.mean([mse(a, guess) for a in pictures])),
        "psnr_mean": float(np.mean([psnr(a, guess) for a in pictures])),
        "ssim_mean": float(np.mean([ssim(a, guess) for a in pictures])),
    }


def train_inverter(
    bundle_directory: Path,
    out: Path,
    run_folder: Path,
    data: Path | None,
    cache: Path | None,
    device: torch.device,
    recipe: InverterRecipe | None = None,
    images: Path | None = None,
    epochs: int | None = None,
) -> Inverter:
    """Train the decoder for a bundle, or continue, and export it.

    Args:
        bundle_directory: The bundle; only its edge half is used.
        out: The directory that becomes the inverter.
        run_folder: Checkpoints of this training.
        data: Data directory, as for training.
        cache: Directory for decoded arrays.
        device: Where to train.
        recipe: Another recipe than the bundle family's.
        images: A folder or tar of anybody's pictures instead of the data set.
        epochs: Another number of them than the recipe's.

    Raises:
        BundleError: something else than an inverter lies there.
        DataError: pictures that are missing, too few or too large.
        ValueError: no pictures are named, and the bundle names none with a recipe.
    """
    require_own(out, STATEMENT)
    bundle = load_bundle(bundle_directory, need=(EDGE,))
    if recipe is None and images is None:
        recipe = inverter_recipe(bundle)
    parts = parts_for(bundle, "" if recipe is None else recipe.dataset, data, cache, images)
    if recipe is None:
        assert images is not None
        recipe = own_recipe(images, len(parts.auxiliary), bundle.manifest.input)
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    task = DecoderTask(recipe, bundle, parts.auxiliary, device)
    about = {"inverter": asdict(recipe), "bundle": bundle.name, "digest": bundle.digest}
    run = RunFolder(run_folder, {**about, **({"pictures": dict(parts.told)} if parts.told else {})})
    settings = FitSettings(recipe.epochs, recipe.learning_rate, weight_decay=0.0, seed=recipe.seed)
    progress = fit(task, settings, run)

    stored, model = convert_decoder(run.load_best(task.model), bundle.manifest.feature.shape)
    spec = bundle.manifest.input
    sample = Device(bundle).of_pixels(parts.test.images_NHWC[:COMPARED_PICTURES])
    report: dict[str, Any] = {
        **measure(bundle, parts, OnnxModel(model)),
        "parameters": count_parameters(stored),
        "input": {"feature": list(bundle.manifest.feature.shape)},
        "output": {"image": [3, spec.height, spec.width], "range": [0, 1]},
        "largest_difference_from_pytorch": verify_decoder(stored, model, sample),
        "training": {
            "recipe": asdict(recipe),
            "auxiliary_pictures": len(parts.auxiliary),
            "loss": "mean over pictures of log(MSE)",
            "best_epoch": progress.best_epoch,
            "held_back_psnr": progress.best_score,
            "seconds": round(progress.seconds, 1),
            "images_per_s_median": float(np.median([e["images_per_s"] for e in progress.history])),
        },
        "provenance": provenance(),
    }
    return write_inverter(out, bundle.name, bundle.digest, model, report)


def measure_inverter(
    bundle_directory: Path, place: Path, data: Path | None, cache: Path | None, images: Path | None = None
) -> Inverter:
    """Measure a stored inverter anew, by forward passes alone; its model stays as it is.

    Args:
        bundle_directory: The bundle that it was trained for.
        place: The inverter's directory.
        data: Data directory, as for training.
        cache: Directory for decoded arrays.
        images: A folder or tar of anybody's pictures instead of the data set.

    Raises:
        BundleError: no inverter lies there, or it is another bundle's.
    """
    bundle = load_bundle(bundle_directory, need=(EDGE,))
    stored = load_inverter(place)
    stored.require_digest(bundle.digest)
    dataset = inverter_recipe(bundle).dataset if images is None else ""
    parts = parts_for(bundle, dataset, data, cache, images)
    trained = {key: value for key, value in stored.report.items() if key in TRAINING_FIELDS}
    report = {**measure(bundle, parts, OnnxModel(stored.path())), **trained}
    return write_inverter(place, bundle.name, bundle.digest, stored.path().read_bytes(), report)
