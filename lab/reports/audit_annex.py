"""An audit as an annex to a data-protection impact assessment: facts for article 35(7) GDPR."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from siftfunnel.lab.evaluation.ranking import suite_told
from siftfunnel.lab.reports.pages import ENVIRONMENT
from siftfunnel.shared.files import write_file

ANNEX = "annex.md"
RISKS = {
    "singling_out": ("Singling out", "which of the {pictures} pictures was sent"),
    "linkability": ("Linkability", "which other picture shows the same"),
    "inference": ("Inference", "whether the picture is bright, warm, lighter above, busy"),
}
"""What each risk is called, and what is asked."""
PADDINGS = {
    "none": "as it is",
    "blocks": "to multiples of 32 bytes",
    "padme": "PADMÉ (at most 12 % more)",
    "largest": "to the largest seen",
}
"""How lengths are padded, in words."""


def risk_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The risks in the order of ``RISKS`` with their names; none where an audit did not measure them."""
    found = report.get("risks", {})
    return [
        {"label": label, "asked": asked.format(**found[key]), **found[key]}
        for key, (label, asked) in RISKS.items()
        if key in found
    ]


def length_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What lengths tell, by padding; none where an older audit did not measure it."""
    found = report.get("lengths", {}).get("paddings", {})
    return [{"label": label, "class": None, **found[key]} for key, label in PADDINGS.items() if key in found]


def render_annex(report: Mapping[str, Any]) -> str:
    """The annex as Markdown.

    Args:
        report: What ``report.json`` holds.
    """
    return ENVIRONMENT.get_template("annex.md").render(
        report=report,
        suite=suite_told(report),
        risks=risk_rows(report),
        lengths=length_rows(report),
        strongest=report["attacks"][report["strongest"]],
        reidentifier=report["attacks"][report["risks"]["attack"]],
        failed=[check for check in report["checks"] if check["status"] == "FAIL"],
    )


def write_annex(report: Mapping[str, Any], out: Path) -> Path:
    """Write ``annex.md`` into ``out``."""
    write_file(out / ANNEX, render_annex(report))
    return out / ANNEX
