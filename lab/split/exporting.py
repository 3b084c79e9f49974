"""From a run folder to a bundle: graphs, checks against the uncut network, figures, and only then files.

halves + funnel -> edge.onnx, cloud.onnx -> equal to halves and funnel apart? -> codecs on held-out pictures
               -> JPEG and WebP of the same pictures -> self-test -> bundle
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from siftfunnel.lab.export.bundle import ExportError, choose_default
from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.onnx_runner import Runner, relative_difference
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.split.features import Ends, Say, Seen, see
from siftfunnel.lab.split.folder import SplitRun, load_run
from siftfunnel.lab.split.funnel_graphs import funnelled_cloud, funnelled_edge, with_batch
from siftfunnel.lab.split.halves import Halves
from siftfunnel.lab.split.picture_codecs import MOST_PICTURES, Curve, picture_curves
from siftfunnel.lab.split.pictures import labels_of, scored_pictures
from siftfunnel.lab.split.points import figures, no_more_than
from siftfunnel.lab.split.prepare import draws_noise
from siftfunnel.shared.bundle import CLOUD, EDGE, MANIFEST, Bundle, write_bundle
from siftfunnel.shared.bundle_check import check_halves
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.manifest import CodecSpec, Manifest, is_name
from siftfunnel.shared.preprocess import normalise
from siftfunnel.shared.selftest import make_selftest
from siftfunnel.shared.storage import require_own
from siftfunnel.shared.tensors import pack, pack_arrays, unpack_array
from siftfunnel.shared.wire import calibrate_tensors

TOLERANCE = 1e-3
COMPARED = 16
CALIBRATION_VALUES, CALIBRATION_PICTURES = 2**26, 200
PICTURE_CODECS = "picture-codecs"
"""In a run's folder: what JPEG and WebP need."""


@dataclass(frozen=True)
class Served:
    """A run as it is served: the funnel is part of both halves.

    Attributes:
        halves: Graphs with the funnel.
        manifest: Without files.
    """

    halves: Halves
    manifest: Manifest

    @cached_property
    def ends(self) -> Ends:
        """Both halves, ready to run."""
        return Ends(self.halves)


def served(run: SplitRun, name: str, codecs: Sequence[CodecSpec], label_kind: str) -> Served:
    """Put the funnel into the halves and say it all in a manifest."""
    halves = run.own_halves
    if run.funnel is not None:
        halves = replace(
            halves,
            edge=funnelled_edge(halves.edge, run.funnel.parts),
            cloud=funnelled_cloud(halves.cloud, run.funnel.parts),
            tensors=run.sent,
        )
    frames = halves.frames_per_run
    if frames is not None:
        edge = halves.edge if _takes_one(halves.edge, run.spec) else with_batch(halves.edge, frames)
        halves = replace(halves, edge=edge, cloud=with_batch(halves.cloud, frames))
    manifest = Manifest(
        schema_version=2,
        name=name,
        architecture=run.network,
        defence="funnel" if run.funnel else "none",
        split_point=run.cut,
        input=run.spec,
        feature=pack(run.sent),
        classes=run.classes,
        label_kind=label_kind,  # type: ignore[arg-type]  # checked by Manifest
        codecs=tuple(codecs),
        default_codec=codecs[0].name,
        tensors=run.sent,
        outputs=run.halves.outputs,
        class_ids=run.class_ids,
        frames_per_run=frames,
        original_sha256=run.original_sha256,
    )
    return Served(halves, manifest)


def _takes_one(edge: onnx.ModelProto, spec: InputSpec) -> bool:
    """Whether an edge half runs one frame, though the whole network has its number of frames fixed."""
    try:
        found = Runner(edge)(np.zeros((1, *spec.tensor_shape), spec.dtype))
    except NetworkError:
        return False
    return all(len(values) == 1 for values in found)


def verify(run: SplitRun, made: Served, pixels_NHWC: NDArray[np.uint8]) -> dict[str, float]:
    """Compare the graphs with halves and funnel apart; what a half that draws noise gives is left out.

    Returns:
        The largest difference of tensors and of outputs, relative to the largest value.

    Raises:
        ExportError: they compute something else.
    """
    tensors = run.ends.edge(pixels_NHWC, run.spec)
    z = run.funnel.encode(tensors) if run.funnel else tensors
    arrived = run.funnel.decode(z) if run.funnel else z
    expected = {"tensors": z, "outputs": run.own_ends.cloud(arrived)}
    ends = made.ends
    found = {"tensors": ends.edge(pixels_NHWC, run.spec), "outputs": ends.cloud(z)}
    differences = {
        what: max(relative_difference(a, b) for a, b in zip(found[what], expected[what], strict=True))
        for what in expected
    }
    graphs = {"tensors": made.halves.edge, "outputs": made.halves.cloud}
    differences = {what: value for what, value in differences.items() if not draws_noise(graphs[what])}
    for what, difference in differences.items():
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{what} of the graphs differ from the cut network's by {difference:.1e} of the largest "
                f"value, allowed is {TOLERANCE:.0e}; nothing was written"
            )
    return differences


def plain_codecs(run: SplitRun, pixels_NHWC: NDArray[np.uint8]) -> tuple[CodecSpec, ...]:
    """The usual codecs, fp32 to q4, for tensors as they are, calibrated on some pictures."""
    most = max(CALIBRATION_VALUES // sum(tensor.size for tensor in run.sent), 2)
    tensors = run.ends.edge(pixels_NHWC[: min(most, CALIBRATION_PICTURES)], run.spec)
    return calibrate_tensors(list(tensors), run.sent)


def codec_figures(
    run: SplitRun, codecs: Sequence[CodecSpec], seen: Seen, labels: NDArray[np.int64] | None
) -> dict[str, dict[str, Any]]:
    """Bytes, agreement and, where there are labels, accuracy of each codec through real payloads."""
    found = {}
    for spec in codecs:
        told, outputs = figures(spec, run.own_ends, run.funnel, seen)
        found[spec.name] = {**told, **_accuracy(run, outputs, labels)}
    return found


def _accuracy(
    run: SplitRun, outputs: Sequence[NDArray[Any]], labels: NDArray[Any] | None
) -> dict[str, float]:
    place = next((n for n, output in enumerate(run.halves.outputs) if output.is_scores), None)
    if labels is None or place is None:
        return {}
    known = labels >= 0
    if not known.any():
        return {}
    return {"accuracy": round(float((outputs[place].argmax(1) == labels)[known].mean()), 4)}


def against_pictures(figures: Mapping[str, Mapping[str, Any]], curves: Sequence[Curve]) -> dict[str, Any]:
    """For each codec what JPEG and WebP need for its agreement, and how many times its bytes that is."""
    told: dict[str, Any] = {}
    for name, figure in figures.items():
        told[name] = {}
        for curve in curves:
            needed = curve.bytes_for(figure["agreement"])
            told[name][curve.kind] = needed and {
                "bytes_mean": round(needed, 1),
                "times": round(needed / figure["payload_bytes_mean"], 2),
            }
    return told


def export_run(
    folder: Path,
    out: Path,
    say: Say,
    *,
    images: Path | None = None,
    labels: Path | None = None,
    name: str | None = None,
    label_kind: str = "category",
) -> Bundle:
    """Write the bundle of a run folder, measured on its held-out pictures or on others.

    Args:
        folder: A run of `fit` or `train`; what picture codecs need is kept in it.
        out: The directory that becomes the bundle.
        say: Shows progress.
        images: Other pictures than those of `fit`.
        labels: A CSV of NAME,LABEL; None takes the folders' names.
        name: The bundle's name; None takes that of ``out``.
        label_kind: What an answer says: ``category`` or ``identity``.

    Raises:
        RunFolderError: no run there.
        DataError: too few pictures.
        ExportError: the graphs do not compute what the cut network computes.
        GraphError: a device or a server would refuse them.
        BundleError: something else than a bundle lies there.
        ValueError: a name that no bundle can have.
    """
    run = load_run(folder)
    require_own(out, MANIFEST)
    name = name or out.resolve().name
    if not is_name(name):
        raise ValueError(
            f"{name!r} is no name for a bundle; use letters, digits, '-', '_' and '.', or --name"
        )
    pictures = scored_pictures(run, images, run.labels if images is None and labels is None else labels)
    some = pictures.attacked.images_NHWC[:MOST_PICTURES]
    classes = labels_of(run, pictures, pictures.attacked, MOST_PICTURES)
    seen = see(run.ends, some, run.spec)
    codecs = [point.spec for point in run.points] or plain_codecs(run, pictures.attacker.images_NHWC)
    told = codec_figures(run, codecs, seen, classes)
    made = served(run, name, codecs, label_kind)
    differences = verify(run, made, some[:COMPARED])
    if differences:
        say(f"graphs compute what the cut network computes, to {max(differences.values()):.1e}")
    curves = picture_curves(run.ends, some, run.spec, seen, say, folder / PICTURE_CODECS)
    default = run.points[0].target.name if run.points else choose_default(_as_accuracies(told))
    manifest = replace(made.manifest, default_codec=default)
    graphs = {EDGE: made.halves.edge.SerializeToString(), CLOUD: made.halves.cloud.SerializeToString()}
    files = {**graphs, **_selftest(manifest, made)}
    check_halves(manifest, files)
    constant = round(seen.likeness.of_a_constant(), 4)
    for note in no_more_than(constant, default, told[default]):
        say(note)
    report = {
        "agreement": told[default]["agreement"],
        "agreement_ci95": told[default]["agreement_ci95"],
        "agreement_is": seen.likeness.measure,
        "finetuned": _finetuned(run),
        "agreement_of_a_constant_answer": constant,
        "pictures": {"held_out": len(some), "from": pictures.name},
        "codecs": told,
        "pictures_at_equal_agreement": against_pictures(told, curves),
        "picture_codecs": {curve.kind: curve.as_json() for curve in curves},
        "uncut": _accuracy(run, seen.outputs, classes),
        **work_figures(run, made, some),
        "export": {"largest_relative_difference": differences, "pictures_compared": len(some[:COMPARED])},
        "fit": dict(run.about),
        "provenance": provenance(),
    }
    return write_bundle(out, manifest, files, report)


def _finetuned(run: SplitRun) -> dict[str, Any] | None:
    """That the network itself is no longer the original; None where its weights are what they were."""
    if not run.weights:
        return None
    told = run.about.get("train", {})
    return {
        "weights": sum(values.size for values in run.weights.values()),
        "note": "the cloud half was trained with labels: agreement is with the original, whose SHA-256 the "
        "manifest has",
        **{key: told[key] for key in ("accuracy_frozen", "accuracy_finetuned") if key in told},
    }


def _as_accuracies(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    return {
        name: {"payload_bytes_mean": figure["payload_bytes_mean"], "accuracy": figure["agreement"]}
        for name, figure in figures.items()
    }


def work_figures(run: SplitRun, made: Served, pixels_NHWC: NDArray[np.uint8]) -> dict[str, Any]:
    """Multiply-adds of the device and their share of the uncut network's, and milliseconds of both halves."""
    on_device, whole = run.macs
    device = on_device + (run.funnel.macs if run.funnel else 0)
    frames = run.halves.frames_per_run
    given = normalise(pixels_NHWC[: frames or 1], run.spec)
    edge, cloud = Runner(made.halves.edge, frames), Runner(made.halves.cloud, frames)
    sent = edge(given, names=[end.name for end in cloud.inputs])
    return {
        "edge_macs": device,
        "edge_mac_share": round(device / whole, 4) if whole else None,
        "edge_milliseconds": edge.milliseconds(given),
        "cloud_milliseconds": cloud.milliseconds(*sent),
    }


def _selftest(manifest: Manifest, made: Served) -> dict[str, bytes]:
    ends = made.ends

    def run_edge(tensor: NDArray[Any]) -> NDArray[np.float32]:
        return pack_arrays(ends.edge_of(tensor), manifest.sent)

    def run_cloud(features: NDArray[np.float32]) -> Sequence[NDArray[Any]]:
        return ends.cloud(unpack_array(features, manifest.sent))

    return make_selftest(manifest, run_edge, run_cloud, edge_draws_noise=draws_noise(made.halves.edge))
