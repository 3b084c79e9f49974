"""Training the attacker's decoder for a bundle, and exporting it as an artefact of its own.

The attacker knows the bundle (its edge half computes the features here, exactly as the device would) and owns
auxiliary pictures that the network was neither trained nor tested on. A tenth of those is held back to choose
the best epoch; the figures in the report are measured on the target's test pictures, which no part of the
attack has seen, of frames that went through each of the bundle's codecs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from siftfunnel.lab.attacks.inverter_training import FeatureBank
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.data.augment import Augmentation, augment
from siftfunnel.lab.data.datasets import load_splits
from siftfunnel.lab.data.images import DataError, ImageSet
from siftfunnel.lab.data.own import load_own
from siftfunnel.lab.evaluation.scores import reference_row
from siftfunnel.lab.evaluation.subject import observed
from siftfunnel.lab.export.bundle import ExportError
from siftfunnel.lab.export.trained_on import dataset_of
from siftfunnel.lab.graphs.folding import folded_copy, round_to_half
from siftfunnel.lab.graphs.writing import write_onnx
from siftfunnel.lab.metrics.pictures import score_pictures
from siftfunnel.lab.networks.decoder import DecoderSettings
from siftfunnel.lab.networks.split import count_parameters
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.targets.lifting import maps_of
from siftfunnel.lab.targets.target import Target, target_of_bundle
from siftfunnel.lab.training.checkpoints import RunFolder
from siftfunnel.shared.bundle import EDGE, Bundle, Inverter, load_bundle, load_inverter, write_inverter
from siftfunnel.shared.inverter import STATEMENT
from siftfunnel.shared.preprocess import InputSpec
from siftfunnel.shared.storage import require_own

RELATIVE_TOLERANCE = 1e-4
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


@dataclass(frozen=True)
class PageInverter(Residual):
    """The live page's decoder: the residual inverter, trained on changed pictures.

    Attributes:
        augmentation: Changes of the auxiliary pictures; features are computed from the changed ones.
    """

    cache_limit_gb: float = 0.0
    flip: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)

    name: ClassVar[str] = "page-inverter"
    label: ClassVar[str] = "Live page's inverter"

    @classmethod
    def of(cls, recipe: InverterRecipe) -> "PageInverter":
        """As a recipe says."""
        return cls(
            epochs=recipe.epochs,
            batch=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            held_back_share=recipe.held_back_share,
            seed=recipe.seed,
            widths=recipe.decoder.widths,
            blocks=recipe.decoder.blocks,
            augmentation=recipe.augmentation,
        )

    def drawn(self, bank: FeatureBank, part_N: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Overheard features of changed pictures, and those."""
        return bank.changed(part_N, lambda images: augment(images, self.augmentation, generator))


def as_packed(target: Target, model: nn.Module) -> nn.Module:
    """An inverter of a target's maps as one of features as they travel, packed."""
    return model if target.layout.is_identity else nn.Sequential(maps_of(target.layout), model)


def packed_features(target: Target, images: ImageSet) -> NDArray[np.float32]:
    """What a target's device puts into a codec, N x the manifest's feature."""
    own = target.layout.to_own(observed(target.sender, images))
    return own.reshape(len(images), *target.codecs[0].feature.shape).numpy()


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
    difference = float(np.abs(Runner(model).first(features) - expected).max())
    if not difference <= RELATIVE_TOLERANCE:
        raise ExportError(
            f"the decoder's graph differs from PyTorch by {difference:.2e}; nothing was written"
        )
    return difference


def score(x_NCHW: Tensor, restored_NCHW: Tensor) -> dict[str, float]:
    """Mean standard MSE, PSNR and SSIM per picture, with median and 95th percentile of the PSNR."""
    scores = score_pictures(x_NCHW, restored_NCHW.clamp(0, 1))
    return {
        "pictures": len(scores),
        "mse_mean": float(scores.mse_N.mean()),
        "psnr_mean": float(scores.psnr_db_N.mean()),
        "psnr_median": float(np.median(scores.psnr_db_N)),
        "psnr_p95": float(np.quantile(scores.psnr_db_N, 0.95)),
        "ssim_mean": float(scores.ssim_N.mean()),
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


def measure(target: Target, parts: Parts, inverter: Runner) -> dict[str, Any]:
    """What an inverter restores of test pictures after each codec of its bundle.

    Returns:
        ``codecs``: figures of ``score`` by codec, of frames as the cloud decodes them. ``held_out_pictures``:
        which pictures. ``mean_picture_instead``: what guessing gets on them.
    """
    is_large = target.input.height * target.input.width > LARGE_PIXELS
    test = parts.test.spread(LARGE_SCORED if is_large else SCORED_PICTURES)
    features = packed_features(target, test)
    x_NCHW = to_floats(torch.from_numpy(test.images_NHWC))
    figures = {}
    for codec in target.codecs:
        decoded = np.stack([codec.decode(codec.encode(np.ascontiguousarray(z))) for z in features])
        figures[codec.name] = score(x_NCHW, torch.from_numpy(inverter.first(decoded)))
    guess = score(x_NCHW, reference_row("mean_image", x_NCHW, parts.auxiliary))
    return {
        "codecs": figures,
        "held_out_pictures": parts.says,
        "mean_picture_instead": {name: guess[name] for name in ("mse_mean", "psnr_mean", "ssim_mean")},
        **({"pictures": dict(parts.told)} if parts.told else {}),
        "measured": provenance(),
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
    target = target_of_bundle(bundle_directory, device, black_box=True, keep=False)
    attack, victim = PageInverter.of(recipe), target.victim
    about = {"inverter": asdict(recipe), "bundle": bundle.name, "digest": bundle.digest}
    run = RunFolder(run_folder, {**about, **({"pictures": dict(parts.told)} if parts.told else {})})
    learned = attack.train(victim, torch.from_numpy(parts.auxiliary.images_NHWC), run)
    trained = run.load_best(attack.untrained(victim))
    stored, model = convert_decoder(as_packed(target, trained), bundle.manifest.feature.shape)
    spec = bundle.manifest.input
    sample = packed_features(target, parts.test.take(slice(COMPARED_PICTURES)))
    report: dict[str, Any] = {
        **measure(target, parts, Runner(model)),
        "parameters": count_parameters(stored),
        "input": {"feature": list(bundle.manifest.feature.shape)},
        "output": {"image": [3, spec.height, spec.width], "range": [0, 1]},
        "largest_difference_from_pytorch": verify_decoder(stored, model, sample),
        "training": {
            "recipe": asdict(recipe),
            "auxiliary_pictures": len(parts.auxiliary),
            "loss": "mean over pictures of log(MSE)",
            **{name: learned[name] for name in ("best_epoch", "held_back_psnr", "seconds")},
            "images_per_s_median": float(np.median([each["images_per_s"] for each in learned["history"]])),
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
    target = target_of_bundle(bundle_directory, torch.device("cpu"), black_box=True, keep=False)
    report = {**measure(target, parts, Runner(stored.path())), **trained}
    return write_inverter(place, bundle.name, bundle.digest, stored.path().read_bytes(), report)
