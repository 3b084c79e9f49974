"""The leak as a curve over the attacker's data: how much does it help him to own more pictures?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.evaluation.attacking import run_attack
from siftfunnel.lab.evaluation.steps import Steps
from siftfunnel.lab.evaluation.subject import Subject
from siftfunnel.lab.evaluation.suite import Suite

CURVE = (128, 1_024, 4_096)
"""Pictures that the attacker owns, before all that there are."""


def curve_figures(
    subject: Subject, suite: Suite, entries: Mapping[str, Mapping[str, Any]], steps: Steps
) -> list[dict[str, Any]]:
    """The residual inverter with fewer of the attacker's pictures, and with all; each point is a step.

    Every point has as many steps, so that few pictures are seen more often, not less.

    Args:
        subject: What is attacked.
        suite: Whose residual inverter it is.
        entries: What the suite got; its residual inverter is the point with all pictures.
        steps: The run folder.

    Returns:
        ``[{"pictures", "psnr_db", "ci95", "retrieval_rank1"}]``, rising; empty where no inverter ran.
    """
    if Residual.name not in entries:
        return []
    total, points = len(subject.auxiliary), []
    for count in (*(few for few in CURVE if few < total), total):
        entry = entries[Residual.name]
        if count < total:
            fewer = replace(subject, auxiliary=subject.auxiliary.spread(count), recognisers=None)
            steps.show(f"with {count:,} of the attacker's pictures")
            part = Steps(steps.folder / "curve" / str(count), steps.show)
            entry = run_attack(fewer, suite.attack(Residual.name), 1, part)
        psnr = entry["scores"]["standard"]["psnr_db"]
        points.append(
            {
                "pictures": count,
                "psnr_db": psnr["mean"],
                "ci95": psnr["ci95"],
                "retrieval_rank1": entry["scores"]["retrieval_rank1"],
            }
        )
    return points
