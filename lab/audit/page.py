"""The report for people: one HTML file that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from torch import Tensor

from siftfunnel.lab.audit.charts import Bar, comparison_chart, curves, histogram
from siftfunnel.lab.audit.equal_bytes import best_within
from siftfunnel.lab.audit.figures import default_codec, reference_auxiliary
from siftfunnel.lab.audit.gallery import Choice, data_uri
from siftfunnel.lab.audit.subject import AuditSubject
from siftfunnel.lab.evaluation.scores import by_strength, reference_row
from siftfunnel.lab.evaluation.steps import kept_pictures
from siftfunnel.lab.metrics.pictures import score_pictures

PAGE = "report.html"

REFERENCE_LABELS = {
    "mean_image": "Mean picture",
    "image_mean_colour": "Picture's mean colour",
    "thumbnail_4x4": "4x4 thumbnail",
    "thumbnail_8x8": "8x8 thumbnail",
    "nearest_auxiliary": "Nearest auxiliary",
    "clamp_noise": "Noise",
}
REFERENCE_NOTES = {
    "mean_image": "needs no feature",
    "image_mean_colour": "knows 3 numbers of the picture",
    "thumbnail_4x4": "knows 48 numbers of the picture",
    "thumbnail_8x8": "knows 192 numbers of the picture",
    "nearest_auxiliary": "knows which of the attacker's pictures is nearest",
    "clamp_noise": "needs nothing",
}
CHART_REFERENCES = ("mean_image", "thumbnail_4x4", "thumbnail_8x8")
MATRIX_REFERENCES = ("mean_image", "thumbnail_4x4", "thumbnail_8x8", "nearest_auxiliary")

ENVIRONMENT = Environment(
    loader=PackageLoader("siftfunnel.lab.audit", "page"),
    autoescape=select_autoescape(("html",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(report: Mapping[str, Any], subject: AuditSubject, choice: Choice, out: Path) -> Path:
    """Write ``report.html`` into ``out``."""
    partial = out / "report.partial"
    partial.write_text(render(report, subject, choice, out), encoding="utf-8")
    return partial.replace(out / PAGE)


def render(report: Mapping[str, Any], subject: AuditSubject, choice: Choice, out: Path) -> str:
    """The page as text; reads the reconstructions that ``out`` keeps."""
    order = by_strength(report["attacks"])
    pictures = {key: kept_pictures(out, f"attack-{key}") for key in order}
    originals = _bytes(subject.x_NCHW)
    best = pictures[report["strongest"]]
    decibels = report["attacks"][report["strongest"]]["scores"]["psnr_db_per_image"]
    galleries = {
        name: _pairs(originals, best, decibels, getattr(choice, name))
        for name in ("typical", "most_exposed", "least_exposed")
    }
    return ENVIRONMENT.get_template("report.html").render(
        report=report,
        attacks=[{"key": key, **report["attacks"][key]} for key in order],
        strongest=report["attacks"][report["strongest"]],
        references=_reference_rows(report["references"]),
        galleries=galleries,
        matrix=_matrix(report, order, pictures, originals, subject, choice),
        columns=len(choice.typical),
        charts=_charts(report, order),
        loss_names=list(losses_of(report, order)),
        training_names=list(trainings_of(report, order)),
        css=Markup(ENVIRONMENT.get_template("report.css").render()),
        codecs=_codec_rows(report["wire"]),
        default_codec=default_codec(report["wire"]),
        measure=_measure(report["accuracy"]),
        picture_codecs=_picture_codec_rows(report["picture_codecs"]),
        jpeg=report["wire"]["jpeg_quality_75"],
        tally={status: sum(check["status"] == status for check in report["checks"]) for status in STATUSES},
    )


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


def _measure(accuracy: Mapping[str, Any]) -> dict[str, str]:
    return MEASURES["outputs" if "outputs" in accuracy else accuracy.get("kind", "accuracy")]


def _picture_codec_rows(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"label": PICTURE_CODECS[name], "standard": None, **row} for name, row in figures["formats"].items()
    ]


PICTURE_CODECS = {"jpeg": "JPEG", "webp": "WebP"}
STATUSES = ("PASS", "FAIL", "NOT APPLICABLE")


def relative(curve: Sequence[float]) -> list[float]:
    """A curve as shares of its first value, so that attacks with other distances stand in one chart.

    Example:
        >>> relative([4.0, 2.0])
        [1.0, 0.5]
    """
    return [float(value) / max(float(curve[0]), 1e-30) for value in curve]


def _bytes(x_NCHW: Tensor) -> Tensor:
    return (x_NCHW.clamp(0, 1) * 255).round().to(torch.uint8)


def _pairs(
    originals: Tensor, restored: Tensor, decibels: Sequence[float], indices: Sequence[int]
) -> list[dict[str, Any]]:
    return [
        {
            "index": index,
            "original": data_uri(originals[index].numpy()),
            "restored": data_uri(restored[index].numpy()),
            "psnr_db": decibels[index],
        }
        for index in indices
    ]


def _matrix(
    report: Mapping[str, Any],
    order: Sequence[str],
    pictures: Mapping[str, Tensor],
    originals: Tensor,
    subject: AuditSubject,
    choice: Choice,
) -> list[dict[str, Any]]:
    """Rows of the same few pictures: the originals, each attack, and the reference rows."""
    indices = list(choice.typical)
    rows = [{"label": "Original", "kind": "original", "cells": _cells(originals[indices], None)}]
    for key in order:
        attack = report["attacks"][key]
        decibels = np.asarray(attack["scores"]["psnr_db_per_image"])[indices]
        cells = _cells(pictures[key][indices], decibels)
        rows.append({"label": attack["label"], "kind": "attack", "cells": cells})
    for name in MATRIX_REFERENCES:
        made = _bytes(reference_row(name, subject.x_NCHW[indices], reference_auxiliary(subject)))
        decibels = np.asarray(report["references"][name]["psnr_db_per_image"])[indices]
        rows.append({"label": REFERENCE_LABELS[name], "kind": "reference", "cells": _cells(made, decibels)})
    return rows + _picture_codec_cells(report["picture_codecs"], originals[indices])


def _picture_codec_cells(figures: Mapping[str, Any], originals_NCHW: Tensor) -> list[dict[str, Any]]:
    """Rows of the same pictures as a picture codec has them in the feature's bytes."""
    rows = []
    pictures = originals_NCHW.permute(0, 2, 3, 1).contiguous().numpy()
    for name, label in PICTURE_CODECS.items():
        found = [best_within(picture, name, int(figures["payload_bytes"])) for picture in pictures]
        arrived = [sent[1] for sent in found if sent is not None]
        if len(arrived) == len(pictures):
            made = torch.from_numpy(np.stack(arrived)).permute(0, 3, 1, 2)
            decibels = score_pictures(originals_NCHW.float() / 255, made.float() / 255).psnr_db_N
            cells = _cells(made, decibels)
            rows.append({"label": f"{label} of equal bytes", "kind": "reference", "cells": cells})
    return rows


def _cells(pictures_NCHW: Tensor, decibels: Any) -> list[dict[str, Any]]:
    shown = [None] * len(pictures_NCHW) if decibels is None else [float(value) for value in decibels]
    return [
        {"uri": data_uri(picture.numpy()), "psnr_db": value}
        for picture, value in zip(pictures_NCHW, shown, strict=True)
    ]


def _reference_rows(references: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [
        {"label": REFERENCE_LABELS[name], "note": REFERENCE_NOTES[name], "scores": references[name]}
        for name in REFERENCE_LABELS
        if name in references
    ]
    return sorted(rows, key=lambda row: -row["scores"]["standard"]["psnr_db"]["mean"])


def _codec_rows(wire: Mapping[str, Any]) -> list[dict[str, Any]]:
    default = default_codec(wire)
    return [{"name": name, "is_default": name == default, **entry} for name, entry in wire["codecs"].items()]


def _charts(report: Mapping[str, Any], order: Sequence[str]) -> dict[str, Markup | None]:
    attacks, references = report["attacks"], report["references"]
    marks = {
        REFERENCE_LABELS[name]: float(references[name]["standard"]["psnr_db"]["mean"])
        for name in CHART_REFERENCES
    }
    bars = [_bar(attacks[key], key == report["strongest"]) for key in order]
    best = attacks[report["strongest"]]
    label = f"How the PSNR of {best['label']} spreads over the pictures"
    return {
        "comparison": Markup(comparison_chart(bars, marks)),
        "histogram": Markup(histogram(best["scores"]["psnr_db_per_image"], marks, label)),
        "losses": _curves(
            losses_of(report, order), "steps done", "feature distance, start = 1", logarithmic=True
        ),
        "trainings": _curves(
            trainings_of(report, order), "training done", "PSNR in dB on own pictures held back"
        ),
    }


def losses_of(report: Mapping[str, Any], order: Sequence[str]) -> dict[str, list[float]]:
    """Feature distance over the course of each descent, by label."""
    attacks = report["attacks"]
    return {
        attacks[key]["label"]: relative(attacks[key]["details"]["curve"])
        for key in order
        if len(attacks[key]["details"].get("curve") or ()) > 1
    }


def trainings_of(report: Mapping[str, Any], order: Sequence[str]) -> dict[str, list[float]]:
    """PSNR on pictures held back after each pass of each inverter's training, by label."""
    attacks = report["attacks"]
    return {
        attacks[key]["label"]: [entry["held_back_psnr"] for entry in attacks[key]["fit"]["history"]]
        for key in order
        if len(attacks[key]["fit"].get("history") or ()) > 1
    }


def _curves(
    lines: Mapping[str, Sequence[float]], across: str, upward: str, *, logarithmic: bool = False
) -> Markup | None:
    if not lines:
        return None
    return Markup(curves(lines, across=across, upward=upward, logarithmic=logarithmic))


def _bar(attack: Mapping[str, Any], is_strongest: bool) -> Bar:
    psnr = attack["scores"]["standard"]["psnr_db"]
    return Bar(
        attack["label"],
        psnr["mean"],
        psnr["ci95"][0],
        psnr["ci95"][1],
        psnr["worst_1pct_mean"],
        is_strongest,
        attack["as_the_paper"],
    )
