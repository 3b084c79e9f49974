"""What the attacker knows beforehand: every public bundle, its codecs, and the inverters it has trained.

Kerckhoffs: only the picture is secret. Edge halves are deployed on devices that anyone can buy, so bundles,
codec tables and the shape of everything count as known.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.attacker.exchanges import Answer
from siftfunnel.attacker.inversion import InversionError, Reconstructor, load_decoder
from siftfunnel.shared.bundle import Bundle, BundleError, Inverter, find_bundles, find_inverters
from siftfunnel.shared.plain_words import codec_says, how_to_invert, says, title_of
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.wire import CodecError, SealedCodec, make_codecs

UNKNOWN_CODEC = "unknown"


@dataclass(frozen=True)
class Target:
    """One bundle as the attacker sees it.

    Attributes:
        bundle: manifest and digest; neither half of the network is needed.
        codecs: in wire order.
        reconstructor: None where there is no inverter for this digest.
        inverter: the artefact behind it, None when handed in from outside.
    """

    bundle: Bundle
    codecs: tuple[SealedCodec, ...]
    reconstructor: Reconstructor | None = None
    inverter: Inverter | None = None

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.bundle.manifest.name

    def codec_name(self, index: int) -> str:
        """What people call the codec at this position on the wire; one name for all that do not exist.

        >>> target.codec_name(99)
        'unknown'
        """
        return self.codecs[index].name if index < len(self.codecs) else UNKNOWN_CODEC

    @cached_property
    def labels(self) -> frozenset[str]:
        """What a picture's label may call a class."""
        return self.bundle.manifest.labels

    def is_right(self, answer: Answer | None, label: str | None) -> bool | None:
        """Whether an answer is the class that a picture's label names; None where one of them names none."""
        if answer is None or answer.class_index is None or label not in self.labels:
            return None
        manifest, index = self.bundle.manifest, answer.class_index
        return index < len(manifest.ids) and label in (manifest.classes[index], manifest.ids[index])

    def class_name(self, index: int) -> str:
        """The class at this position of the manifest's list."""
        classes = self.bundle.manifest.classes
        return classes[index] if index < len(classes) else f"class {index} (unknown)"

    def decode(self, codec: int, payload: bytes) -> NDArray[np.float32]:
        """Payload to feature tensor CHW.

        Raises:
            CodecError: no such codec, or the payload is not one of it and this bundle.
        """
        if codec >= len(self.codecs):
            raise CodecError(f"bundle {self.name} has no codec {codec}: it has {len(self.codecs)}")
        return self.codecs[codec].decode(payload)

    def as_json(self) -> dict[str, Any]:
        """What the page says about the bundle."""
        manifest = self.bundle.manifest
        return {
            "name": self.name,
            "title": title_of(manifest),
            "says": says(manifest),
            "digest": self.bundle.digest,
            "architecture": manifest.architecture,
            "defence": manifest.defence,
            "label_kind": manifest.label_kind,
            "class_count": len(manifest.classes),
            "input": [manifest.input.height, manifest.input.width],
            "raw_bytes": manifest.input.height * manifest.input.width * manifest.input.channels,
            "tensors": [{"name": each.name, "shape": list(each.shape)} for each in manifest.sent],
            "outputs": [{"name": each.name, "kind": each.kind} for each in manifest.given],
            "codecs": [{"name": codec.name, "says": codec_says(codec)} for codec in manifest.codecs],
            "inverter": self.reconstructor is not None,
            "train_inverter": how_to_invert(self.bundle.directory, self.name),
            "mean_picture": mean_picture(self.inverter),
        }


class Targets:
    """What the attacker knows beforehand: bundles by digest, and what was wrong with those it cannot use."""

    def __init__(self, targets: Iterable[Target], problems: Sequence[str] = ()) -> None:
        self._targets = {target.bundle.digest: target for target in targets}
        self.problems = tuple(problems)

    def __iter__(self) -> Iterator[Target]:
        """In the order in which they were found."""
        return iter(self._targets.values())

    def get(self, digest: str) -> Target | None:
        """The bundle with this digest, if it is known."""
        return self._targets.get(digest)

    def settle(self, frame: pb.Frame) -> str | None:
        """Trial decode: the digest of the one known bundle that a Frame belongs to, if there is one.

        The checksum covers digest, codec and body, so a payload fits one bundle and a wrong match is one in
        four thousand million per bundle tried.
        """
        fitting = [target.bundle.digest for target in self if _fits(target, frame)]
        return fitting[0] if len(fitting) == 1 else None


def _fits(target: Target, frame: pb.Frame) -> bool:
    try:
        target.decode(frame.codec, frame.payload)
    except CodecError:
        return False
    return True


def mean_picture(inverter: Inverter | None) -> dict[str, float] | None:
    """How close the mean picture comes to held-out ones: what an attacker reaches without any attack.

    From the inverter's report; None where it does not tell.

    >>> mean_picture(inverter)
    {'psnr': 12.5, 'ssim': 0.25}
    """
    level = inverter.report.get("mean_picture_instead") if inverter else None
    if not isinstance(level, Mapping):
        return None
    told = {name: level.get(f"{name}_mean") for name in ("psnr", "ssim")}
    return {name: float(value) for name, value in told.items() if isinstance(value, (int, float))}


def gather(
    bundles: Sequence[Path],
    inverters: Sequence[Path],
    reconstructors: Mapping[str, Reconstructor] | None = None,
) -> Targets:
    """Load every bundle and inverter of some directories; what fails becomes a problem, not an end.

    Args:
        bundles: directories of bundles.
        inverters: directories of inverters; the artefact's digest decides which bundle it attacks.
        reconstructors: attacks made elsewhere, by bundle digest; they win over inverters.
    """
    problems: list[str] = []
    artefacts: dict[str, list[Inverter]] = {}
    for found in find_inverters(*inverters):
        if isinstance(found, Inverter):
            artefacts.setdefault(found.bundle_digest, []).append(found)
        else:
            problems.append(found.reason)
    targets: dict[str, Target] = {}
    for found_bundle in find_bundles(*bundles):
        if not isinstance(found_bundle, Bundle):
            problems.append(found_bundle.reason)
        elif found_bundle.digest not in targets:
            given = (reconstructors or {}).get(found_bundle.digest)
            try:
                target = _target(found_bundle, artefacts.get(found_bundle.digest, ()), given, problems)
            except ValueError as error:
                problems.append(f"{found_bundle.directory}: cannot be used: {error}")
                continue
            targets[found_bundle.digest] = target
    named = {target.name for target in targets.values()}
    for digest, trained in artefacts.items():
        inverter = trained[-1]
        # An inverter of a bundle that is not attacked is no problem; an older export is easily missed.
        if digest not in targets and inverter.bundle_name in named:
            problems.append(
                f"the inverter in {inverter.directory} was trained for another export of "
                f"{inverter.bundle_name} ({digest[:12]}…): it is not used"
            )
    return Targets(targets.values(), problems)


def _target(
    bundle: Bundle, trained: Sequence[Inverter], given: Reconstructor | None, problems: list[str]
) -> Target:
    """A bundle with the attack handed in for it, else with the last of its inverters that can be used."""
    codecs = make_codecs(bundle.manifest, bundle.digest)
    if given is not None:
        return Target(bundle, codecs, given)
    if not trained:
        problems.append(
            f"no inverter for bundle {bundle.name} ({bundle.digest[:12]}…): its features are shown, "
            f"nothing is rebuilt; train one with `{how_to_invert(bundle.directory, bundle.name)}`"
        )
    for inverter in reversed(trained):
        try:
            return Target(bundle, codecs, load_decoder(inverter, bundle), inverter)
        except (InversionError, BundleError) as error:
            problems.append(str(error))
    return Target(bundle, codecs)
