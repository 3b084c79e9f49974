"""A certificate from first to last: what no attacker can beat, beside the attack on the same pictures.

OUT/certify.json      what the folder is bound to: bundle, codec, pictures, request
OUT/done/             finished steps, found pictures among them
OUT/sheet.png         pictures, those of equal bytes, and what the attack makes of them
OUT/certificate.json  everything; without its lists also in the bundle's report
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from siftfunnel.lab.attacks.attack import Show
from siftfunnel.lab.attacks.chunks import write_json
from siftfunnel.lab.certify.bounds import (
    attack_figures,
    errors_on_pictures,
    errors_on_ruler,
    guarantees,
    identification_figures,
    noise_figures,
    rate_figures,
)
from siftfunnel.lab.certify.case import Case
from siftfunnel.lab.certify.equal_bytes import equal_byte_figures
from siftfunnel.lab.certify.opponent import require_unbroken
from siftfunnel.lab.certify.request import Request, Sources
from siftfunnel.lab.certify.sender import Noise
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.reports.certificates import KIND, SCHEMA
from siftfunnel.shared.bundle import EDGE, load_bundle, write_bundle

RESULT = "certificate.json"
LISTS = ("psnr_db_per_set", "found_per_picture")
"""What a bundle's report leaves out."""


def certify(
    place: Path, codec: str | None, request: Request, sources: Sources, device: torch.device, show: Show
) -> dict[str, Any]:
    """Certify a bundle; continues where ``sources.out`` stands.

    Args:
        place: The bundle's folder.
        codec: Name of its codec; None takes the recommended one.
        request: How large.
        sources: Where pictures and results are.
        device: Where gradients are computed.
        show: Takes a line of progress.

    Returns:
        The contents of ``certificate.json``.

    Raises:
        BundleError: no bundle, or not its edge half.
        CodecError, EdgeError, DataError, PlaceError, RunFolderError: see ``Case.of``.
        CertificateBrokenError: an attack does better than is proved that none can; nothing is written.
    """
    case = Case.of(load_bundle(place, need=(EDGE,)), codec, request, sources, device, show)
    found = _parts(case)
    _require_unbroken(found)
    manifest = case.bundle.manifest
    result = {
        "schema": SCHEMA,
        "kind": KIND,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "bundle": {
            "name": manifest.name,
            "digest": case.bundle.digest,
            "defence": manifest.defence,
            "edge_stages": [stage.kind for stage in manifest.edge_stages],
            "input": [manifest.input.height, manifest.input.width],
            "feature": list(manifest.feature.shape),
        },
        "codec": case.sender.codec.name,
        "pictures": case.scene.about(),
        "request": request.to_json(),
        **found,
        **{name: round(sum(part[name] for part in found.values()), 1) for name in ("seconds", "cpu_seconds")},
        "provenance": provenance(),
    }
    write_json(sources.out / RESULT, result)
    return result


def _parts(case: Case) -> dict[str, dict[str, Any]]:
    """Every part of the certificate by name, each made once."""

    def once(step: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        def made() -> dict[str, Any]:
            clocks = {"seconds": time.monotonic, "cpu_seconds": time.process_time}
            begun = {name: clock() for name, clock in clocks.items()}
            return {**make(), **{name: round(clock() - begun[name], 1) for name, clock in clocks.items()}}

        entry: dict[str, Any] = case.steps.once(step, made)
        return entry

    def noise() -> Mapping[str, Any]:
        if isinstance(case.noise, Noise):
            return noise_figures(case, case.noise)
        return {"reason": case.noise or "the device draws no noise"}

    found = {
        "ruler": once("ruler", lambda: case.ruler.about()),
        "attack": once("attack", lambda: attack_figures(case)),
        "identification": once("identification", lambda: identification_figures(case)),
        "rate": once("rate", lambda: rate_figures(case)),
        "noise": once("noise", noise),
    }
    found["published"] = once("published", lambda: guarantees(case, found["rate"], found["noise"]))
    found["attack_on_ruler"] = once("attack-on-ruler", lambda: errors_on_ruler(case))
    found["attack_on_pictures"] = once("attack-on-pictures", lambda: errors_on_pictures(case))
    found["equal_bytes"] = once("equal-bytes", lambda: equal_byte_figures(case))
    return found


def _require_unbroken(found: Mapping[str, Any]) -> None:
    """Hold the attack on the ruler's pictures against every bound of them."""
    for what in ("rate", "noise"):
        for frames, bound in found[what].get("by_frames", {}).items():
            attack = found["attack_on_ruler"]["by_frames"][frames]
            require_unbroken(bound["mse"], attack, f"{what}, frames: {frames}")


def report_to_bundle(place: Path, result: Mapping[str, Any]) -> None:
    """Put a certificate into the report of its bundle, by codec; the digest stays.

    Raises:
        BundleError: a file of the bundle is missing, so that it cannot be written whole.
        OSError: the folder cannot be written.
    """
    bundle = load_bundle(place, need=())
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    report = bundle.report()
    told = {key: value for key, value in without_lists(result).items() if key not in ("kind", "codec")}
    certificates = {**report.get("certificates", {}), result["codec"]: told}
    written = write_bundle(place, bundle.manifest, files, {**report, "certificates": certificates})
    assert written.digest == bundle.digest


def without_lists(values: Any) -> Any:
    """JSON values without the lists that hold a number for each picture."""
    if isinstance(values, Mapping):
        return {key: without_lists(value) for key, value in values.items() if key not in LISTS}
    return values
