"""From a run folder to a bundle: fold, round, write, verify on real pictures, measure, and only then store.

best.safetensors -> fold -> half precision -> edge.onnx, cloud.onnx -> compare with PyTorch
                 -> calibrate codecs on validation features -> accuracy and bytes per codec -> bundle

Graphs are compared without the defence's edge stage; whatever is measured on features is measured behind it,
with fresh noise from the operating system, as the cloud receives them.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.defences.losses import distance_correlation_unbiased
from siftfunnel.lab.device import DeviceModel
from siftfunnel.lab.graphs.folding import folded_copy, round_to_half
from siftfunnel.lab.graphs.writing import write_onnx
from siftfunnel.lab.networks.split import SplitNetwork, count_parameters
from siftfunnel.lab.onnx_runner import Runner, relative_difference
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.training.checkpoints import BEST, RUN
from siftfunnel.lab.training.classifier import evaluate_logits, input_spec
from siftfunnel.lab.training.recipes import Recipe
from siftfunnel.lab.training.runs import RESTORING, load_run, splits_of
from siftfunnel.shared.bundle import MANIFEST, Bundle, write_bundle
from siftfunnel.shared.bundle_check import check_halves
from siftfunnel.shared.manifest import FeatureSpec, Manifest, is_name
from siftfunnel.shared.preprocess import InputSpec, normalise
from siftfunnel.shared.storage import require_own
from siftfunnel.shared.wire import make_codecs

RELATIVE_TOLERANCE = 1e-4
VERIFICATION_PICTURES = 500
COMPARED_PICTURES = 1000
DEFAULT_CODEC_LOSS = 0.005


class ExportError(RuntimeError):
    """The exported graphs do not compute what PyTorch computes; nothing was written."""


@dataclass(frozen=True)
class ExportedNetwork:
    """Both halves, as folded PyTorch modules holding the stored weights and as ONNX."""

    edge: nn.Module
    cloud: nn.Module
    edge_onnx: bytes
    cloud_onnx: bytes


def convert(network: SplitNetwork) -> ExportedNetwork:
    """Fold both halves, round their weights to half precision and write the graphs."""
    edge, cloud = round_to_half(folded_copy(network.edge)), round_to_half(folded_copy(network.cloud))
    size = network.input_size
    return ExportedNetwork(
        edge,
        cloud,
        write_onnx(edge, input_name="image", input_shape=(3, size, size), output_name="feature"),
        write_onnx(cloud, input_name="feature", input_shape=network.feature_shape, output_name="logits"),
    )


def verify(exported: ExportedNetwork, x_NCHW: NDArray[np.float32]) -> dict[str, float]:
    """Compare ONNX Runtime with PyTorch holding the same stored weights.

    Returns:
        The largest difference of features and logits, each divided by the largest value.

    Raises:
        ExportError: above ``RELATIVE_TOLERANCE``, or another best class for any picture.
    """
    with torch.inference_mode():
        expected_feature = exported.edge(torch.from_numpy(x_NCHW))
        expected_logits = exported.cloud(expected_feature).numpy()
    feature = Runner(exported.edge_onnx).first(x_NCHW)
    logits = Runner(exported.cloud_onnx).first(feature)
    differences = {
        "feature": relative_difference(feature, expected_feature.numpy()),
        "logits": relative_difference(logits, expected_logits),
    }
    for what, difference in differences.items():
        if not difference <= RELATIVE_TOLERANCE:
            raise ExportError(
                f"{what} of the exported graph differ from PyTorch by {difference:.2e} of the largest value, "
                f"allowed is {RELATIVE_TOLERANCE:.0e}; nothing was written"
            )
    changed = int((logits.argmax(1) != expected_logits.argmax(1)).sum())
    if changed:
        raise ExportError(f"{changed} of {len(logits)} answers differ from PyTorch's; nothing was written")
    return differences


def accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Share of rows whose largest value is at the label; 1.0 when all are.

    Example:
        >>> accuracy(np.float32([[0, 1], [1, 0]]), np.array([1, 1]))
        0.5
    """
    return float((logits.argmax(1) == labels).mean())


def measure_codecs(
    manifest: Manifest, cloud: Runner, features_NCHW: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """Mean payload size and accuracy of each codec, through real payloads."""
    figures: dict[str, dict[str, float]] = {}
    # sizes and values do not depend on the digest, which does not exist before the manifest is complete
    for codec in make_codecs(manifest, "0" * 64):
        payloads = [codec.encode(feature) for feature in features_NCHW]
        restored = np.stack([codec.decode(payload) for payload in payloads])
        figures[codec.name] = {
            "payload_bytes_mean": round(float(np.mean([len(payload) for payload in payloads])), 1),
            "accuracy": round(accuracy(cloud.first(restored), labels), 4),
        }
    return figures


def measure_jpeg(images: ImageSet, edge: DeviceModel, cloud: Runner, spec: InputSpec) -> dict[str, float]:
    """What sending the picture itself would cost: JPEG quality 75, mean size and accuracy."""
    sizes, restored = [], []
    for picture in images.images_NHWC:
        stored = io.BytesIO()
        Image.fromarray(picture).save(stored, format="JPEG", quality=75)
        sizes.append(len(stored.getvalue()))
        restored.append(np.asarray(Image.open(stored).convert("RGB")))
    logits = cloud.first(edge(normalise(np.stack(restored), spec)))
    return {
        "payload_bytes_mean": round(float(np.mean(sizes)), 1),
        "accuracy": round(accuracy(logits, images.labels), 4),
    }


def choose_default(figures: Mapping[str, Mapping[str, float]]) -> str:
    """The smallest codec that costs at most half a point of accuracy against ``fp32``.

    A bundle without ``fp32``, one that was trained for its rate, is measured against its own best.

    Example:
        >>> choose_default({"fp32": {"payload_bytes_mean": 9, "accuracy": 0.8},
        ...                 "q4": {"payload_bytes_mean": 2, "accuracy": 0.7},
        ...                 "q8": {"payload_bytes_mean": 3, "accuracy": 0.8}})
        'q8'
    """
    best = max(figure["accuracy"] for figure in figures.values())
    least = figures.get("fp32", {"accuracy": best})["accuracy"] - DEFAULT_CODEC_LOSS
    fitting = [name for name, figure in figures.items() if figure["accuracy"] >= least]
    return min(fitting, key=lambda name: figures[name]["payload_bytes_mean"])


def _manifest(
    name: str,
    recipe: Recipe,
    network: SplitNetwork,
    classes: tuple[str, ...],
    features_NCHW: NDArray[np.float32],
) -> Manifest:
    codecs = recipe.defence.codecs(network, features_NCHW)
    return Manifest(
        name=name,
        architecture=f"{recipe.architecture}-w{recipe.width}",
        defence=recipe.defence.name,
        split_point=network.split_point,
        input=input_spec(recipe),
        feature=FeatureSpec(*network.feature_shape),
        classes=classes,
        label_kind=recipe.label_kind,  # type: ignore[arg-type]  # Recipe checks the same two words
        codecs=codecs,
        default_codec=codecs[0].name,
        edge_stages=recipe.defence.edge_stages(network),
    )


def export_run(
    folder: Path,
    out: Path,
    data: Path | None,
    cache: Path | None = None,
    *,
    name: str | None = None,
    evaluate_on: str = "test",
) -> Bundle:
    """Export a run's best weights as a bundle.

    Args:
        folder: A run folder.
        out: The directory that becomes the bundle.
        data: Data directory, as for training.
        cache: Directory for decoded arrays.
        name: The bundle's name; None takes that of ``out``.
        evaluate_on: ``test``, or ``validation`` for an export that leaves the test pictures untouched.

    Raises:
        ExportError: the graphs do not compute what PyTorch computes.
        BundleError: something else than a bundle lies there.
        ValueError: a name that no bundle can have.
    """
    name = name or out.resolve().name
    if not is_name(name):
        raise ValueError(
            f"{name!r} is no name for a bundle; use letters, digits, '-', '_' and '.', or --name"
        )
    require_own(out, MANIFEST)
    if evaluate_on not in ("test", "validation"):
        raise ValueError(f"evaluate on test or validation, got {evaluate_on!r}")
    recipe, network, stored = load_run(folder)
    splits = splits_of(recipe, data, cache)
    spec = input_spec(recipe)
    exported = convert(network)
    differences = verify(exported, normalise(splits.validation.images_NHWC[:VERIFICATION_PICTURES], spec))
    edge = DeviceModel(exported.edge_onnx, recipe.defence.edge_stages(network))
    cloud = Runner(exported.cloud_onnx)

    validation_features = edge(normalise(splits.validation.images_NHWC, spec))
    manifest = _manifest(name, recipe, network, splits.train.classes, validation_features)
    on_validation = measure_codecs(manifest, cloud, validation_features, splits.validation.labels)
    manifest = replace(manifest, default_codec=choose_default(on_validation))
    position = [codec.name for codec in manifest.codecs].index(manifest.default_codec)
    recipe.defence.use_codec(network, position)

    held_out: ImageSet = getattr(splits, evaluate_on)
    features = edge(normalise(held_out.images_NHWC, spec))
    stride = max(1, len(held_out) // COMPARED_PICTURES)
    unrounded = accuracy(evaluate_logits(network, held_out, spec, torch.device("cpu")), held_out.labels)
    by_codec = measure_codecs(manifest, cloud, features, held_out.labels)
    report = {
        # of whole features, unless the network was trained to send less
        "accuracy": by_codec.get("fp32", by_codec[manifest.default_codec])["accuracy"],
        "accuracy_float32_weights": round(unrounded, 4),
        "accuracy_measured_on": {"split": evaluate_on, "pictures": len(held_out)},
        "codecs": by_codec,
        "codecs_on_validation": on_validation,
        "distance_correlation": _distance_correlation(
            held_out.take(slice(0, None, stride)), features[::stride], spec
        ),
        "jpeg_quality_75": measure_jpeg(held_out, edge, cloud, spec),
        "edge_parameters": count_parameters(network.edge),
        "cloud_parameters": count_parameters(network.cloud),
        "export": {
            "weights": "float16, computed in float32",
            "largest_relative_difference": differences,
            "pictures_compared": min(VERIFICATION_PICTURES, len(splits.validation)),
        },
        "training": _training_report(folder, stored),
        "provenance": provenance(),
    }
    files = {"edge.onnx": exported.edge_onnx, "cloud.onnx": exported.cloud_onnx}
    check_halves(manifest, files)
    return write_bundle(out, manifest, files, report)


def _distance_correlation(
    images: ImageSet, features_NCHW: NDArray[np.float32], spec: InputSpec
) -> dict[str, float]:
    """How far distances between features tell those between pictures: 0 not at all, 1 exactly."""
    x = torch.from_numpy(normalise(images.images_NHWC, spec))
    score = distance_correlation_unbiased(x, torch.from_numpy(features_NCHW))
    return {"unbiased": round(float(score), 4), "pictures": len(images)}


def _training_report(folder: Path, stored: Mapping[str, Any]) -> dict[str, Any]:
    """What ``run.json`` says of the training, with the history's speeds condensed to their median."""
    restoring = folder / RESTORING / RUN
    warm_start = json.loads(restoring.read_text()) if restoring.is_file() else None
    speeds = [epoch["images_per_s"] for epoch in stored["history"]]
    return {
        "recipe": stored["about"]["recipe"],
        "splits": stored["about"]["splits"],
        "epochs_done": stored["epochs_done"],
        "best_epoch": stored["best_epoch"],
        "validation_accuracy": stored["best_score"],
        "seconds": round(stored["seconds"], 1),
        "images_per_s_median": float(np.median(speeds)),
        "selection": f"best validation accuracy ({BEST})",
        "warm_start": warm_start
        and {
            "epochs_done": warm_start["epochs_done"],
            "validation_accuracy": warm_start["best_score"],
            "seconds": round(warm_start["seconds"], 1),
        },
        "provenance": stored.get("provenance"),
    }
