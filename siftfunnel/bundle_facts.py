"""Facts about a bundle for people and for scripts: taken from its manifest, its report and its inverter."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from siftfunnel.shared.bundle import CHECKSUM, REPORT, Bundle, BundleError, load_bundle
from siftfunnel.shared.storage import read_object
from siftfunnel.shipped import Library


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
        "input": [3, manifest.input.height, manifest.input.width],
        "feature": list(manifest.feature.shape),
        "label_kind": manifest.label_kind,
        "classes": list(manifest.classes),
        "codecs": [codec.name for codec in manifest.codecs],
        "default_codec": manifest.default_codec,
        "files": {name: entry.size_bytes for name, entry in manifest.files.items()},
        "figures": {
            codec.name: {
                "accuracy": figure(report, "codecs", codec.name, "accuracy"),
                "payload_bytes": figure(report, "codecs", codec.name, "payload_bytes_mean"),
                "inverter_psnr_db": figure(inverter_report, "codecs", codec.name, "psnr_mean"),
                "inverter_ssim": figure(inverter_report, "codecs", codec.name, "ssim_mean"),
            }
            for codec in manifest.codecs
        },
        "jpeg_payload_bytes": figure(report, "jpeg_quality_75", "payload_bytes_mean"),
        "inverter": None if inverter is None else str(inverter.directory),
        "guess_psnr_db": figure(inverter_report, "mean_picture_instead", "psnr_mean"),
        "guess_ssim": figure(inverter_report, "mean_picture_instead", "ssim_mean"),
    }


def figure(report: Mapping[str, Any], *keys: str) -> float | None:
    """A number from a report, by the keys that lead to it; None where the report has none.

    >>> figure({"codecs": {"q4": {"psnr_mean": 28}}}, "codecs", "q4", "psnr_mean")
    28.0
    """
    value: Any = report
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def verify(directory: Path) -> Bundle:
    """Compare every file that the manifest lists, and the report, with what is stored.

    Raises:
        BundleError: a file is missing or has changed, or the report is of another manifest or was edited.
    """
    listed = tuple(load_bundle(directory, need=()).manifest.files)
    missing = {"edge.onnx", "cloud.onnx"} - set(listed)
    if missing:
        raise BundleError(f"{directory}: the manifest lists no {' and no '.join(sorted(missing))}")
    bundle = load_bundle(directory, need=listed)
    bundle.report()
    return bundle


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
        "feature": _shape(fact["feature"]),
        "classes": str(len(fact["classes"])),
        "codec": fact["default_codec"],
        "accuracy": _percent(figures["accuracy"]),
        "bytes": _whole(figures["payload_bytes"]),
        "inverter PSNR": _decibel(figures["inverter_psnr_db"]),
        "inverter SSIM": _number(figures["inverter_ssim"]),
        "size": f"{size_bytes / 1e6:.2f} MB",
        "digest": fact["digest"][:12],
    }


def lines(fact: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every fact as a name and a text."""
    yield "bundle", fact["name"]
    yield "directory", fact["directory"]
    yield "digest", fact["digest"]
    yield "architecture", f"{fact['architecture']}; cut: {fact['split_point']}; defence: {fact['defence']}"
    yield "input", _shape(fact["input"])
    yield "feature", _shape(fact["feature"])
    yield "classes", f"{len(fact['classes'])} ({fact['label_kind']}): {', '.join(fact['classes'])}"
    yield "codecs", f"{', '.join(fact['codecs'])} (default {fact['default_codec']})"
    for name, size_bytes in fact["files"].items():
        yield name, f"{size_bytes:,} bytes"
    yield "inverter", fact["inverter"] or "none shipped for this digest"
    for codec, figures in fact["figures"].items():
        rebuilt = _similarity(figures["inverter_psnr_db"], figures["inverter_ssim"])
        size, accuracy = _whole(figures["payload_bytes"]), _percent(figures["accuracy"])
        yield codec, f"{size} bytes, accuracy {accuracy}, rebuilt {rebuilt}"


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
        "accuracy": _percent(figures["accuracy"]),
        "bytes per frame": _whole(figures["payload_bytes"]),
        "as JPEG": _whole(fact["jpeg_payload_bytes"]),
        "rebuilt from the frame": _similarity(figures["inverter_psnr_db"], figures["inverter_ssim"]),
        "guessed without it": _similarity(fact["guess_psnr_db"], fact["guess_ssim"]),
    }


def _similarity(psnr_db: float | None, ssim: float | None) -> str:
    return "-" if psnr_db is None else f"{_decibel(psnr_db)}, SSIM {_number(ssim)}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _shape(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _decibel(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} dB"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
