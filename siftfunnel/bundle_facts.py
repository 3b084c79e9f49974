"""Facts about a bundle for people and for scripts: taken from its manifest, its report and its inverter."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from siftfunnel.shared.bundle import CHECKSUM, REPORT, Bundle
from siftfunnel.shared.manifest_fields import as_json
from siftfunnel.shared.plain_words import input_says
from siftfunnel.shared.selftest import CLOUD_TEST, EDGE_TEST
from siftfunnel.shared.showing import figure
from siftfunnel.shared.storage import read_object
from siftfunnel.shipped import Library

CLASSES_SHOWN = 20
"""Names of classes that people are shown."""


def facts(bundle: Bundle, library: Library) -> dict[str, Any]:
    """What one bundle is, as JSON values; figures are by codec, and None where nothing was reported."""
    manifest = bundle.manifest
    inverter = library.inverter_of(bundle)
    report, inverter_report = bundle.report(), {} if inverter is None else inverter.report
    return {
        "name": bundle.name,
        "directory": str(bundle.directory),
        "digest": bundle.digest,
        "architecture": manifest.architecture,
        "defence": manifest.defence,
        "split_point": manifest.split_point,
        "schema_version": manifest.schema_version,
        "input": [manifest.input.channels, manifest.input.height, manifest.input.width],
        "input_rule": input_says(manifest.input),
        "feature": list(manifest.feature.shape),
        "tensors": [as_json(tensor) for tensor in manifest.sent],
        "outputs": [as_json(output) for output in manifest.given],
        "label_kind": manifest.label_kind,
        "classes": list(manifest.classes),
        "class_ids": list(manifest.ids),
        "frames_per_run": manifest.frames_per_run,
        "original_sha256": manifest.original_sha256,
        "finetuned": report.get("finetuned") is not None,
        "self_tests": [name for name in (EDGE_TEST, CLOUD_TEST) if name in manifest.files],
        "codecs": [codec.name for codec in manifest.codecs],
        "default_codec": manifest.default_codec,
        "files": {name: entry.size_bytes for name, entry in manifest.files.items()},
        "figures": {
            codec.name: {
                "accuracy": reported(report, "codecs", codec.name, "accuracy"),
                "agreement": reported(report, "codecs", codec.name, "agreement"),
                "pictures": _pictures_instead(report, codec.name),
                "payload_bytes": reported(report, "codecs", codec.name, "payload_bytes_mean"),
                "inverter_psnr_db": reported(inverter_report, "codecs", codec.name, "psnr_mean"),
                "inverter_ssim": reported(inverter_report, "codecs", codec.name, "ssim_mean"),
            }
            for codec in manifest.codecs
        },
        "jpeg_payload_bytes": reported(report, "jpeg_quality_75", "payload_bytes_mean"),
        "inverter": None if inverter is None else str(inverter.directory),
        "guess_psnr_db": reported(inverter_report, "mean_picture_instead", "psnr_mean"),
        "guess_ssim": reported(inverter_report, "mean_picture_instead", "ssim_mean"),
    }


def _pictures_instead(report: Mapping[str, Any], codec: str) -> dict[str, float]:
    """Bytes that JPEG and WebP need for the agreement that a codec reaches, where that was measured."""
    needed = {
        kind: reported(report, "pictures_at_equal_agreement", codec, kind.lower(), "bytes_mean")
        for kind in ("JPEG", "WebP")
    }
    return {kind: size for kind, size in needed.items() if size is not None}


def reported(report: Mapping[str, Any], *keys: str) -> float | None:
    """A number from a report, by the keys that lead to it; None where the report has none.

    >>> reported({"codecs": {"q4": {"psnr_mean": 28}}}, "codecs", "q4", "psnr_mean")
    28.0
    """
    value: Any = report
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def report_state(bundle: Bundle) -> str:
    """What can be said of a verified bundle's report: ``unchanged``, ``without a checksum`` or ``none``."""
    path = bundle.directory / REPORT
    if not path.is_file():
        return "none"
    return "unchanged" if CHECKSUM in read_object(path) else "without a checksum"


def row(fact: dict[str, Any]) -> dict[str, str]:
    """The most important facts as cells of a table; figures are those of the default codec."""
    size_bytes = sum(fact["files"].values())
    figures = fact["figures"][fact["default_codec"]]
    return {
        "bundle": fact["name"],
        "defence": fact["defence"],
        "input": _shape(fact["input"]),
        "feature": "+".join(_shape(tensor["shape"]) for tensor in fact["tensors"]),
        "classes": str(len(fact["classes"]) or "-"),
        "codec": fact["default_codec"],
        "accuracy": _worth(figures),
        "bytes": figure(figures["payload_bytes"], ",.0f"),
        "inverter PSNR": figure(figures["inverter_psnr_db"], ".1f", " dB"),
        "inverter SSIM": figure(figures["inverter_ssim"], ".3f"),
        "size": f"{size_bytes / 1e6:.2f} MB",
        "digest": fact["digest"][:12],
    }


def lines(fact: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every fact as a name and a text."""
    yield "bundle", fact["name"]
    yield "directory", fact["directory"]
    yield "digest", fact["digest"]
    yield "architecture", f"{fact['architecture']}; cut: {fact['split_point']}; defence: {fact['defence']}"
    yield "input", f"{_shape(fact['input'])}; {fact['input_rule']}"
    for tensor in fact["tensors"]:
        yield "feature", f"{_shape(tensor['shape'])} ({tensor['name']})"
    for output in fact["outputs"]:
        yield "output", f"{output['name']}: {output['kind']}, {output['dtype']} {_shape(output['shape'])}"
    if fact["classes"]:
        yield "classes", f"{len(fact['classes'])} ({fact['label_kind']}): {_class_names(fact)}"
    if fact["frames_per_run"]:
        yield "cloud half", f"takes {fact['frames_per_run']} frames at once"
    if fact["original_sha256"]:
        changed = "; its cloud half was trained on with labels" if fact["finetuned"] else ""
        yield "cut from", f"SHA-256 {fact['original_sha256']}{changed}"
    yield "self-test", ", ".join(fact["self_tests"]) or "none: neither end can prove itself at its start"
    yield "codecs", f"{', '.join(fact['codecs'])} (default {fact['default_codec']})"
    for name, size_bytes in fact["files"].items():
        yield name, f"{size_bytes:,} bytes"
    yield "inverter", fact["inverter"] or "none shipped for this digest"
    for codec, figures in fact["figures"].items():
        rebuilt = _similarity(figures["inverter_psnr_db"], figures["inverter_ssim"])
        accuracy = figure(figures["accuracy"], ".2%")
        if figures["agreement"] is not None:
            accuracy += f", agreement with the uncut network {figure(figures['agreement'], '.3f')}"
            accuracy += "".join(
                f", {kind} needs {figure(needed, ',.0f')} bytes for that"
                for kind, needed in figures["pictures"].items()
            )
        size = figure(figures["payload_bytes"], ",.0f")
        yield codec, f"{size} bytes, accuracy {accuracy}, rebuilt {rebuilt}"


def _class_names(fact: Mapping[str, Any]) -> str:
    """The first names in their order; a name that stands twice has its id with it."""
    names = Counter(fact["classes"])
    pairs = list(zip(fact["classes"], fact["class_ids"], strict=True))
    told = [name if names[name] == 1 else f"{name} ({id_})" for name, id_ in pairs[:CLASSES_SHOWN]]
    left = len(pairs) - len(told)
    return ", ".join(told) + (f" and {left} more (--json has them)" if left else "")


def markdown(all_facts: Sequence[dict[str, Any]]) -> str:
    """The table of the README: what a frame of the default codec costs, and what is rebuilt from it.

    Bundles of the same classes follow one another, the unprotected first.
    """
    ordered = sorted(all_facts, key=lambda fact: (fact["classes"], fact["defence"] != "none", fact["name"]))
    rows = [_markdown_cells(fact) for fact in ordered]
    columns = list(rows[0]) if rows else []
    rule = ["---" if number == 0 else "---:" for number in range(len(columns))]
    table = [columns, rule, *(list(cells.values()) for cells in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def _markdown_cells(fact: dict[str, Any]) -> dict[str, str]:
    figures = fact["figures"][fact["default_codec"]]
    return {
        "bundle": f"`{fact['name']}`",
        "input": _shape(fact["input"][1:]),
        "codec": fact["default_codec"],
        "accuracy": _worth(figures),
        "bytes per frame": figure(figures["payload_bytes"], ",.0f"),
        "as JPEG": figure(fact["jpeg_payload_bytes"], ",.0f"),
        "rebuilt from the frame": _similarity(figures["inverter_psnr_db"], figures["inverter_ssim"]),
        "guessed without it": _similarity(fact["guess_psnr_db"], fact["guess_ssim"]),
    }


def _worth(figures: Mapping[str, Any]) -> str:
    """Accuracy, or how far a network whose pictures had no labels agrees with the uncut one."""
    if figures["accuracy"] is None and figures["agreement"] is not None:
        return f"agrees {figure(figures['agreement'], '.3f')}"
    return figure(figures["accuracy"], ".2%")


def _similarity(psnr_db: float | None, ssim: float | None) -> str:
    return "-" if psnr_db is None else f"{figure(psnr_db, '.1f', ' dB')}, SSIM {figure(ssim, '.3f')}"


def _shape(sides: Sequence[int | None]) -> str:
    return "x".join("?" if side is None else str(side) for side in sides) or "one value"
