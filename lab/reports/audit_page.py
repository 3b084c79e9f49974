"""An audit's report for people: one HTML file that needs nothing but itself."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.lab.reports.audit_annex import length_rows, risk_rows
from siftfunnel.lab.reports.audit_charts import Bar, comparison_chart, curves, histogram
from siftfunnel.lab.reports.pages import ENVIRONMENT
from siftfunnel.shared.files import write_file

PAGE = "report.html"
LONGEST_SIDE = 160
"""Larger pictures are shown at this size, so that a report stays a few megabytes."""

REFERENCES = {
    "mean_image": ("Mean picture", "needs no feature"),
    "image_mean_colour": ("Picture's mean colour", "knows 3 numbers of the picture"),
    "thumbnail_4x4": ("4x4 thumbnail", "knows 48 numbers of the picture"),
    "thumbnail_8x8": ("8x8 thumbnail", "knows 192 numbers of the picture"),
    "nearest_auxiliary": ("Nearest auxiliary", "knows which of the attacker's pictures is nearest"),
    "clamp_noise": ("Noise", "needs nothing"),
}
"""What each reference row is called, and what it knows."""
CHART_REFERENCES = ("mean_image", "thumbnail_4x4", "thumbnail_8x8")
PICTURE_CODECS = {"jpeg": "JPEG", "webp": "WebP"}
STATUSES = ("PASS", "FAIL", "NOT APPLICABLE")
MEASURES = {
    "accuracy": {"key": "accuracy", "title": "Accuracy", "rightly": "classified rightly"},
    "agreement": {
        "key": "agreement",
        "title": "Agreement",
        "rightly": "classified as they are without noise and codec (there are no labels to go by)",
    },
    "outputs": {"key": "relative_error", "title": "Change of the outputs", "rightly": ""},
}
"""How good answers are, by what they can be measured with."""


@dataclass(frozen=True)
class Strip:
    """Pictures side by side.

    Attributes:
        kind: What they come from.
        name: The attack, reference or picture codec.
        pixels_NHWC: The pictures.
        psnr_db_N: How near each comes to its original; None of the originals.
    """

    kind: Literal["original", "attack", "reference", "codec"]
    name: str
    pixels_NHWC: NDArray[np.uint8]
    psnr_db_N: Sequence[float] | None = None


@dataclass(frozen=True)
class Shown:
    """The pictures of a report.

    Attributes:
        galleries: Originals above what the strongest attack made of them: ``typical``, ``most_exposed`` and
            ``least_exposed``.
        matrix: The typical ones again, as they are and as everything restored them,
            the strongest attack first.
    """

    galleries: Mapping[str, tuple[Strip, Strip]]
    matrix: Sequence[Strip]


def write_page(report: Mapping[str, Any], shown: Shown, codec: str, out: Path) -> Path:
    """Write ``report.html`` into ``out``; see ``render``."""
    write_file(out / PAGE, render(report, shown, codec))
    return out / PAGE


def render(report: Mapping[str, Any], shown: Shown, codec: str) -> str:
    """The page as text.

    Args:
        report: What ``report.json`` holds.
        shown: Its pictures.
        codec: The recommended one.
    """
    order = [strip.name for strip in shown.matrix if strip.kind == "attack"]
    wire, accuracy = report["wire"], report["accuracy"]
    return ENVIRONMENT.get_template("audit.html").render(
        report=report,
        attacks=[{"key": key, **report["attacks"][key]} for key in order],
        strongest=report["attacks"][report["strongest"]],
        references=_reference_rows(report["references"]),
        galleries={name: _pairs(report["shown"][name], *pair) for name, pair in shown.galleries.items()},
        matrix=[_matrix_row(strip, report["attacks"]) for strip in shown.matrix],
        columns=len(report["shown"]["typical"]),
        charts=_charts(report, order),
        loss_names=list(_losses(report, order)),
        training_names=list(_trainings(report, order)),
        css=Markup(ENVIRONMENT.get_template("audit.css").render()),
        codecs=[{"name": name, "is_default": name == codec, **each} for name, each in wire["codecs"].items()],
        default_codec=codec,
        measure=MEASURES["outputs" if "outputs" in accuracy else accuracy.get("kind", "accuracy")],
        picture_codecs=[
            {"label": PICTURE_CODECS[name], "standard": None, **row}
            for name, row in report["picture_codecs"]["formats"].items()
        ],
        jpeg=wire["jpeg_quality_75"],
        risks=risk_rows(report),
        lengths=length_rows(report),
        shown_identity=_identity_rows(report),
        tally={status: sum(check["status"] == status for check in report["checks"]) for status in STATUSES},
    )


def _identity_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the judge says of each attack, and of what no attack restored."""
    names = {name: label for name, (label, _) in REFERENCES.items()} | {"original": "The original"}
    attacks = report["attacks"].values()
    rows = [
        {"label": one["label"], "is_reference": False, **one["scores"]["identity"]}
        for one in attacks
        if "identity" in one["scores"]
    ]
    found = report.get("identity", {}).get("references", {})
    return rows + [{"label": names[name], "is_reference": True, **figures} for name, figures in found.items()]


def data_uri(pixels_HWC: NDArray[np.uint8]) -> str:
    """A picture as a PNG in a ``data:`` address.

    Example:
        >>> data_uri(np.zeros((2, 2, 3), np.uint8))[:22]
        'data:image/png;base64,'
    """
    image = Image.fromarray(np.ascontiguousarray(pixels_HWC))
    if max(image.size) > LONGEST_SIDE:
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    stored = io.BytesIO()
    image.save(stored, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode("ascii")


def _pairs(indices: Sequence[int], originals: Strip, restored: Strip) -> list[dict[str, Any]]:
    assert restored.psnr_db_N is not None
    pictures = zip(indices, originals.pixels_NHWC, restored.pixels_NHWC, restored.psnr_db_N, strict=True)
    return [
        {"index": index, "original": data_uri(one), "restored": data_uri(other), "psnr_db": decibels}
        for index, one, other, decibels in pictures
    ]


def _matrix_row(strip: Strip, attacks: Mapping[str, Any]) -> dict[str, Any]:
    decibels = strip.psnr_db_N if strip.psnr_db_N is not None else [None] * len(strip.pixels_NHWC)
    cells = [
        {"uri": data_uri(pixels), "psnr_db": value}
        for pixels, value in zip(strip.pixels_NHWC, decibels, strict=True)
    ]
    kind = "reference" if strip.kind == "codec" else strip.kind
    return {"label": _label(strip, attacks), "kind": kind, "cells": cells}


def _label(strip: Strip, attacks: Mapping[str, Any]) -> str:
    if strip.kind == "attack":
        return str(attacks[strip.name]["label"])
    if strip.kind == "codec":
        return f"{PICTURE_CODECS[strip.name]} of equal bytes"
    return REFERENCES[strip.name][0] if strip.kind == "reference" else "Original"


def _reference_rows(references: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [
        {"label": label, "note": note, "scores": references[name]}
        for name, (label, note) in REFERENCES.items()
        if name in references
    ]
    return sorted(rows, key=lambda row: -row["scores"]["standard"]["psnr_db"]["mean"])


def _charts(report: Mapping[str, Any], order: Sequence[str]) -> dict[str, Markup | None]:
    attacks, references = report["attacks"], report["references"]
    marks = {
        REFERENCES[name][0]: float(references[name]["standard"]["psnr_db"]["mean"])
        for name in CHART_REFERENCES
    }
    best = attacks[report["strongest"]]
    label = f"How the PSNR of {best['label']} spreads over the pictures"
    bars = [_bar(attacks[key], key == report["strongest"]) for key in order]
    losses, trainings = _losses(report, order), _trainings(report, order)
    made = {
        "comparison": comparison_chart(bars, marks),
        "histogram": histogram(best["scores"]["psnr_db_per_image"], marks, label),
        "losses": losses
        and curves(losses, across="steps done", upward="feature distance, start = 1", logarithmic=True),
        "trainings": trainings
        and curves(trainings, across="training done", upward="PSNR in dB on own pictures held back"),
    }
    return {name: Markup(svg) if svg else None for name, svg in made.items()}


def _losses(report: Mapping[str, Any], order: Sequence[str]) -> dict[str, list[float]]:
    """Feature distance over each descent, by label, as shares of its start so that one chart holds all."""
    found = {report["attacks"][key]["label"]: report["attacks"][key]["details"].get("curve") for key in order}
    return {
        label: [float(value) / max(float(curve[0]), 1e-30) for value in curve]
        for label, curve in found.items()
        if len(curve or ()) > 1
    }


def _trainings(report: Mapping[str, Any], order: Sequence[str]) -> dict[str, list[float]]:
    """PSNR on pictures held back after each pass of each inverter's training, by label."""
    found = {report["attacks"][key]["label"]: report["attacks"][key]["fit"].get("history") for key in order}
    return {
        label: [entry["held_back_psnr"] for entry in history]
        for label, history in found.items()
        if len(history or ()) > 1
    }


def _bar(attack: Mapping[str, Any], is_strongest: bool) -> Bar:
    psnr = attack["scores"]["standard"]["psnr_db"]
    low, high = psnr["ci95"]
    worst, is_paper = psnr["worst_1pct_mean"], attack["as_the_paper"]
    return Bar(attack["label"], psnr["mean"], low, high, worst, is_strongest, is_paper)
