"""From a run folder to a bundle: graphs, checks against the uncut network, figures, and only then files.

halves + funnel -> edge.onnx, cloud.onnx -> equal to halves and funnel apart? -> codecs on held-out pictures
               -> JPEG and WebP of the same pictures -> self-test -> bundle
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from siftfunnel.lab.split.fit import labels_of
from siftfunnel.lab.split.folder import SplitRun, load_run
from siftfunnel.lab.split.funnel_graphs import funnelled_cloud, funnelled_edge, with_batch
from siftfunnel.lab.split.halves import Halves
from siftfunnel.lab.split.picture_codecs import MOST_PICTURES, Curve, picture_curve
from siftfunnel.lab.split.points import agreement_figures, through
from siftfunnel.lab.split.prepare import draws_noise
from siftfunnel.lab.split.scored import scored_pictures
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
TIMED_RUNS = 15
CALIBRATION_VALUES = 2**26


@dataclass(frozen=True)
class Served:
    """A run as it is served: the funnel is part of both halves.

    Attributes:
        halves: Graphs with the funnel.
        manifest: Without files.
    """

    halves: Halves
    manifest: Manifest

    @property
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


def plain_codecs(run: SplitRun, fitted: Seen) -> tuple[CodecSpec, ...]:
    """The usual codecs, fp32 to q4, for tensors as they are."""
    most = max(CALIBRATION_VALUES // sum(tensor.size for tensor in run.sent), 2)
    return calibrate_tensors([values[:most] for values in fitted.tensors], run.sent)


def codec_figures(
    run: SplitRun, codecs: Sequence[CodecSpec], seen: Seen, labels: NDArray[np.int64] | None
) -> dict[str, dict[str, Any]]:
    """Bytes, agreement and, where there are labels, accuracy of each codec through real payloads."""
    z = run.funnel.encode(seen.tensors) if run.funnel else seen.tensors
    ends, found = run.own_ends, {}
    for spec in codecs:
        sizes, arrived = through(spec, run.sent, z)
        outputs = ends.cloud(run.funnel.decode(arrived) if run.funnel else arrived)
        found[spec.name] = {
            "payload_bytes_mean": round(float(sizes.mean()), 1),
            "payload_bytes_p95": round(float(np.percentile(sizes, 95)), 1),
            **agreement_figures(seen.likeness.agreement_N(outputs), seen.likeness.is_share),
            **_accuracy(run, outputs, labels),
        }
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


def no_more_than(constant: float, codec: str, figure: Mapping[str, Any]) -> list[str]:
    """Whether an answer that never changes may agree as well as a codec, so that pictures do not tell.

    >>> no_more_than(0.1, "l60", {"agreement": 0.9, "agreement_ci95": [0.85, 0.95]})
    []
    """
    if figure["agreement_ci95"][0] > constant:
        return []
    return [
        f"an answer that never changes has an agreement of {constant:.1%} on these pictures, {codec} "
        f"{figure['agreement']:.1%}: they do not show what the funnel keeps; take others, which the network "
        "answers differently, or more of them"
    ]


def milliseconds(model: onnx.ModelProto, frames_per_run: int | None, arrays: Sequence[NDArray[Any]]) -> float:
    """Median time of one frame on one thread of this machine."""
    runner = Runner(model, frames_per_run)
    step = frames_per_run or 1
    once = [array[:step] for array in arrays]
    runner(*once)
    times = []
    for _ in range(TIMED_RUNS):
        started = time.perf_counter()
        runner(*once)
        times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times) / step, 3)


def export_split(
    run: SplitRun,
    pixels: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    labels: NDArray[np.int64] | None,
    out: Path,
    *,
    name: str | None,
    say: Say,
    label_kind: str = "category",
    source: str | None = None,
) -> Bundle:
    """Write the bundle of a run.

    Args:
        run: What to serve.
        pixels: Pictures as the network sees them: some to calibrate with, and the held-out ones.
        labels: Of the held-out ones, positions of classes; -1 where one is not known.
        out: The directory that becomes the bundle.
        name: The bundle's name; None takes that of ``out``.
        say: Shows progress.
        label_kind: What an answer says: ``category`` or ``identity``.
        source: What the pictures are called, where they are others than those of `fit`.

    Raises:
        ExportError: the graphs do not compute what the cut network computes.
        GraphError: a device or a server would refuse them.
        BundleError: something else than a bundle lies there.
        ValueError: a name that no bundle can have.
    """
    require_own(out, MANIFEST)
    name = name or out.resolve().name
    if not is_name(name):
        raise ValueError(
            f"{name!r} is no name for a bundle; use letters, digits, '-', '_' and '.', or --name"
        )
    calibration, held_out = pixels
    some = held_out[:MOST_PICTURES]
    seen = see(run.ends, some, run.spec)
    codecs = [point.spec for point in run.points]
    codecs = codecs or list(plain_codecs(run, see(run.ends, calibration[:200], run.spec)))
    figures = codec_figures(run, codecs, seen, None if labels is None else labels[: len(some)])
    made = served(run, name, codecs, label_kind)
    differences = verify(run, made, some[:COMPARED])
    if differences:
        say(f"graphs compute what the cut network computes, to {max(differences.values()):.1e}")
    curves = [picture_curve(kind, run.ends, some, run.spec, seen, say) for kind in ("jpeg", "webp")]
    default = run.points[0].target.name if run.points else choose_default(_as_accuracies(figures))
    manifest = replace(made.manifest, default_codec=default)
    graphs = {EDGE: made.halves.edge.SerializeToString(), CLOUD: made.halves.cloud.SerializeToString()}
    files = {**graphs, **_selftest(manifest, made)}
    check_halves(manifest, files)
    constant = round(seen.likeness.of_a_constant(), 4)
    for note in no_more_than(constant, default, figures[default]):
        say(note)
    report = {
        "agreement": figures[default]["agreement"],
        "agreement_ci95": figures[default]["agreement_ci95"],
        "agreement_is": seen.likeness.measure,
        "finetuned": _finetuned(run),
        "agreement_of_a_constant_answer": constant,
        "pictures": {"held_out": len(some), "from": source or run.pictures.name},
        "codecs": figures,
        "pictures_at_equal_agreement": against_pictures(figures, curves),
        "picture_codecs": {curve.kind: curve.as_json() for curve in curves},
        "uncut": _accuracy(run, seen.outputs, None if labels is None else labels[: len(some)]),
        **work_figures(run, made, some),
        "export": {"largest_relative_difference": differences, "pictures_compared": len(some[:COMPARED])},
        "fit": dict(run.about),
        "provenance": provenance(),
    }
    return write_bundle(out, manifest, files, report)


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
    """Write the bundle of a run folder, measured on its held-out pictures or on others; see `export_split`.

    Labels are the folders' names, or those of a CSV of NAME,LABEL.

    Raises:
        RunFolderError: no run there.
        DataError: too few pictures.
    """
    run = load_run(folder)
    if labels is None and images is None:
        labels = run.labels
    pictures = scored_pictures(run, images, labels)
    pixels = (pictures.attacker.images_NHWC, pictures.attacked.images_NHWC)
    classes = labels_of(pictures, pictures.attacked, run)
    return export_split(
        run, pixels, classes, out, name=name, say=say, label_kind=label_kind, source=pictures.name
    )


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
    ordered = Runner(made.halves.edge, frames)(given, names=[v.name for v in made.halves.cloud.graph.input])
    return {
        "edge_macs": device,
        "edge_mac_share": round(device / whole, 4) if whole else None,
        "edge_milliseconds": milliseconds(made.halves.edge, frames, [given]),
        "cloud_milliseconds": milliseconds(made.halves.cloud, frames, ordered),
    }


def _selftest(manifest: Manifest, made: Served) -> dict[str, bytes]:
    ends = made.ends

    def run_edge(tensor: NDArray[Any]) -> NDArray[np.float32]:
        return pack_arrays(ends.edge_of(tensor), manifest.sent)

    def run_cloud(features: NDArray[np.float32]) -> Sequence[NDArray[Any]]:
        return ends.cloud(unpack_array(features, manifest.sent))

    return make_selftest(manifest, run_edge, run_cloud, edge_draws_noise=draws_noise(made.halves.edge))
