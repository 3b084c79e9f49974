"""The bundles a server serves: found, verified, opened, and looked up by digest."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from siftfunnel.cloud_server.answers import Reading
from siftfunnel.cloud_server.config import CloudConfig, default_workers
from siftfunnel.cloud_server.engine import LOCAL_ENGINES, batch_invariant, open_engine, warm_up
from siftfunnel.cloud_server.lane import Lane
from siftfunnel.cloud_server.metrics import BundleMetrics, Metrics
from siftfunnel.cloud_server.ticket import Owner
from siftfunnel.shared.bundle import Bundle, BundleError, find_bundles
from siftfunnel.shared.manifest_fields import as_json
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.selftest import check_cloud
from siftfunnel.shared.storage import Problem
from siftfunnel.shared.wire import SealedCodec, make_codecs

_log = logging.getLogger(__name__)

CLOUD_FILE = "cloud.onnx"
SLACK_BYTES = 64 * 1024
"""Taken beyond the largest valid payload: gRPC ends a whole stream over a message that is too large; up to
here a payload that is too long costs its own frame only."""


@dataclass(frozen=True)
class ServedBundle:
    """A bundle with its lane.

    Attributes:
        bundle: verified.
        label: its name, made unique by the digest where two bundles share one.
        codecs: in wire order.
        lane: takes its frames.
        metrics: its instruments.
        batch_invariant: whether answers are known to be the same, to the last bit, at any load.
    """

    bundle: Bundle
    label: str
    codecs: tuple[SealedCodec, ...]
    lane: Lane
    metrics: BundleMetrics
    batch_invariant: bool = False

    def describe(self, default: bool) -> pb.BundleDescription:
        """As `Describe` tells it."""
        manifest = self.bundle.manifest
        names = [codec.name for codec in self.codecs]
        return pb.BundleDescription(
            name=manifest.name,
            digest=self.bundle.digest,
            classes=manifest.classes,
            codecs=names,
            feature_shape=manifest.feature.shape,
            default=default,
            default_codec=names.index(manifest.default_codec),
            class_ids=manifest.class_ids,
            tensors=[pb.TensorDescription(name=each.name, shape=each.shape) for each in manifest.sent],
            outputs=[
                pb.OutputDescription(
                    name=each.name,
                    kind=each.kind,
                    shape=[axis or 0 for axis in each.shape],
                    dtype=each.dtype,
                )
                for each in manifest.given
            ],
            batch_invariant=self.batch_invariant,
        )

    def summary(self) -> dict[str, Any]:
        """As `/bundles` tells it."""
        manifest = self.bundle.manifest
        return {
            "name": manifest.name,
            "label": self.label,
            "digest": self.bundle.digest,
            "architecture": manifest.architecture,
            "defence": manifest.defence,
            "split_point": manifest.split_point,
            "label_kind": manifest.label_kind,
            "num_classes": len(manifest.classes),
            "feature_shape": list(manifest.feature.shape),
            "outputs": [as_json(output) for output in manifest.given],
            "codecs": [
                {"name": codec.name, "index": codec.index, "max_payload_bytes": codec.max_payload_bytes}
                for codec in self.codecs
            ],
            "default_codec": manifest.default_codec,
            "batch_invariant": self.batch_invariant,
            "queued_frames": len(self.lane),
        }


class Catalogue:
    """What is served, by digest, in the order in which it was found; the first is the default.

    It changes while it is read, from other threads too: a change is another mapping in the old one's place.

    Attributes:
        problems: bundles that were left out because `skip_bad` allows it.
        max_message_bytes: the largest message that is taken: the largest payload of any of the bundles that
            were there at the start, and some slack. gRPC learns it once.
    """

    def __init__(self, served: Iterable[ServedBundle], problems: Iterable[Problem] = ()) -> None:
        self._served: Mapping[str, ServedBundle] = {each.bundle.digest: each for each in served}
        self.problems = tuple(problems)
        self.max_message_bytes = max(map(_largest, self)) + SLACK_BYTES

    def __iter__(self) -> Iterator[ServedBundle]:
        return iter(self._served.values())

    def __len__(self) -> int:
        return len(self._served)

    def get(self, digest: str) -> ServedBundle | None:
        """The bundle with that digest, if it is served."""
        return self._served.get(digest)

    def add(self, served: ServedBundle) -> None:
        """Serve one more; its lane runs already.

        Raises:
            BundleError: its payloads are larger than the messages that this server takes.
        """
        if (largest := _largest(served)) > self.max_message_bytes:
            raise BundleError(
                f"{served.bundle.name}: payloads of up to {largest} bytes; this server was started for "
                f"messages of {self.max_message_bytes}: start it with this bundle among the others"
            )
        self._served = {**self._served, served.bundle.digest: served}

    def remove(self, digest: str) -> None:
        """Take no more calls for a bundle."""
        self._served = {key: each for key, each in self._served.items() if key != digest}


def _largest(served: ServedBundle) -> int:
    return max(codec.max_payload_bytes for codec in served.codecs)


def open_catalogue(
    config: CloudConfig, metrics: Metrics, wake: Callable[[Iterable[Owner]], None]
) -> Catalogue:
    """Find, verify and open everything that the configuration names; the lanes are not started.

    Raises:
        BundleError: a bundle fails its checks (unless `skip_bad`), or none is left; names it and says why.
    """
    bundles, problems = _verified(config)
    names = Counter(bundle.name for bundle in bundles)
    served = []
    for bundle in bundles:
        label = bundle.name if names[bundle.name] == 1 else f"{bundle.name}@{bundle.digest[:8]}"
        try:
            served.append(open_bundle(bundle, label, config, metrics, wake))
        except BundleError as error:
            problems.append(Problem(bundle.directory, str(error)))
            if not config.skip_bad:
                raise
    for problem in problems:
        _log.warning("left out (--skip-bad): %s", problem.reason)
    if not served:
        raise BundleError("no bundle is left to serve: " + "; ".join(problem.reason for problem in problems))
    return Catalogue(served, problems)


def _verified(config: CloudConfig) -> tuple[list[Bundle], list[Problem]]:
    """Bundles that pass their checks, each digest once, and what is wrong with the rest."""
    bundles: dict[str, Bundle] = {}
    problems: list[Problem] = []
    for directory in config.bundles:
        found = find_bundles(directory, need=(CLOUD_FILE,))
        if not found:
            problems.append(Problem(directory, f"{directory}: no bundle in it, no manifest.json"))
        for each in found:
            if isinstance(each, Problem):
                problems.append(each)
            else:
                bundles.setdefault(each.digest, each)
    if problems and not config.skip_bad:
        reasons = "; ".join(problem.reason for problem in problems)
        raise BundleError(f"{reasons} (--skip-bad serves the others)")
    return list(bundles.values()), problems


def open_bundle(
    bundle: Bundle, label: str, config: CloudConfig, metrics: Metrics, wake: Callable[[Iterable[Owner]], None]
) -> ServedBundle:
    """Open a verified bundle; its lane is not started.

    Raises:
        BundleError: it cannot be served; names it and says why.
    """
    try:
        return _open(bundle, label, config, metrics, wake)
    except Exception as error:  # a model is a program: what opening it raises is anybody's guess
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise BundleError(f"{bundle.directory}: {what}") from error


def _open(
    bundle: Bundle, label: str, config: CloudConfig, metrics: Metrics, wake: Callable[[Iterable[Owner]], None]
) -> ServedBundle:
    manifest = bundle.manifest
    codecs = make_codecs(manifest, bundle.digest)
    options = config.engine_options.for_bundle(bundle.name)
    engine = open_engine(config.engine, bundle.path(CLOUD_FILE), manifest, options)
    warm_up(engine, manifest.feature.shape, manifest.given, config.batching.max_batch_size, options.start_s)
    check_cloud(bundle, lambda feature: [np.asarray(each) for each in engine.run(feature)])
    instruments = metrics.for_bundle(label, bundle.digest, [codec.name for codec in codecs])
    workers = config.workers or engine.batches_in_flight or default_workers()
    reading = Reading(manifest.given, config.max_output_bytes)
    lane = Lane(codecs, engine, reading, config.batching, workers, instruments, wake, label)
    local = config.engine in LOCAL_ENGINES
    same = local and batch_invariant(engine, manifest.feature.shape, config.batching.max_batch_size)
    return ServedBundle(bundle, label, codecs, lane, instruments, same)
