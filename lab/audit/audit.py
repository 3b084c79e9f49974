"""An audit from first to last: data, attacks, checks, verdict, report.

OUT/audit.json    what the folder is bound to: target, data, seed
OUT/done/         figures and reconstructions of finished steps
OUT/report.json   every number
OUT/report.html   the same for people
OUT/annex.md      for a data-protection impact assessment
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from siftfunnel.lab.attacks.attack import Show
from siftfunnel.lab.attacks.chunks import claim, write_json
from siftfunnel.lab.audit.curve import curve_figures
from siftfunnel.lab.audit.equal_bytes import picture_codec_figures
from siftfunnel.lab.audit.gallery import choose_pictures, shown_pictures
from siftfunnel.lab.audit.measures import (
    accuracy_figures,
    default_codec,
    information_figures,
    reference_auxiliary,
    risks_of,
    sizes_of_frames,
    wire_figures,
)
from siftfunnel.lab.audit.plan import plan_attacks
from siftfunnel.lab.audit.subject import AuditSubject, Request, about_data, prepare_subject
from siftfunnel.lab.audit.verdict import Attacker, give_verdict, leak_of
from siftfunnel.lab.evaluation.agreement import agreement_with
from siftfunnel.lab.evaluation.attacking import run_attacks
from siftfunnel.lab.evaluation.checks import run_checks
from siftfunnel.lab.evaluation.flags import flags_of
from siftfunnel.lab.evaluation.places import require_private_place
from siftfunnel.lab.evaluation.probing import by_heart, half_budget
from siftfunnel.lab.evaluation.ranking import columns_of, strongest
from siftfunnel.lab.evaluation.scores import identity_references, reference_figures
from siftfunnel.lab.evaluation.steps import Steps, kept_pictures
from siftfunnel.lab.evaluation.suite import Planned, key_of
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.reports.audit_annex import write_annex
from siftfunnel.lab.reports.audit_page import write_page
from siftfunnel.lab.targets.pictures import name_of_pictures
from siftfunnel.lab.targets.target import Target

SCHEMA = 1
MOST_SIDE_PIXELS = 256
ABOUT, REPORT = "audit.json", "report.json"


def audit(target: Target, wanted: Request, show: Show) -> dict[str, Any]:
    """Attack a target, judge what came of it, and write the report; continues where ``wanted.out`` stands.

    Returns:
        The contents of ``report.json``.

    Raises:
        PlaceError: pictures of real people would lie where git tracks them.
        DataError: data that is missing or does not fit.
        RunFolderError: ``wanted.out`` holds the audit of something else.
        ValueError: an unknown attack, or none that the target allows.
    """
    _require_size(target)
    require_private_place(
        wanted.out,
        name_of_pictures(target, wanted.dataset, wanted.images),
        is_own=wanted.images is not None,
        allow=wanted.allow_tracked_folder,
    )
    if wanted.codec is not None:
        target = target.hearing(wanted.codec)
    wanted = replace(wanted, budget=wanted.budget.at(target.input.height, target.input.width))
    plan, skipped = plan_attacks(target, wanted.budget, wanted.attacks)
    subject = prepare_subject(target, wanted)
    data = about_data(subject, wanted)
    bound = {key: data[key] for key in ("name", "evaluated_on", "attacked_sha256", "auxiliary_sha256")}
    claim(
        wanted.out / ABOUT,
        {
            "target": target.digest,
            "data": bound,
            "budget": wanted.budget.name,
            "seed": wanted.seed,
            **({} if target.heard is None else {"heard": target.heard}),
        },
    )
    steps = Steps(wanted.out, show)
    measured = _measure(subject, wanted, steps)
    entries, stopped = run_attacks(subject, plan, steps)
    attacks = _named(plan, entries)
    best = strongest(attacks)
    assert best is not None
    probes = _probe(subject, plan, attacks, wanted, steps)
    skipped += stopped
    risks = _risks(subject, attacks, wanted, steps)
    curve = curve_figures(subject, wanted.budget.suite, entries, steps) if wanted.budget.has_curve else []
    checks = run_checks(attacks, measured["references"], stochastic=target.victim.stochastic, **probes)
    verdict = give_verdict(
        leak_of(attacks[best], measured["references"]),
        Attacker(
            white_box=target.victim.white_box,
            pictures=len(subject.auxiliary),
            dataset=subject.dataset,
            stochastic=target.victim.stochastic,
            frames=max(attack["frames"] for attack in attacks.values()),
            not_tried=tuple(entry.label for entry in skipped),
            heard=target.heard,
            is_own=wanted.images is not None,
        ),
        checks,
        label_kind=target.label_kind,
    )
    choice = choose_pictures(attacks[best]["scores"]["psnr_db_per_image"])
    report = {
        "schema": SCHEMA,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": about_target(target),
        "dataset": data,
        "budget": wanted.budget.name,
        "budget_is_fitted": wanted.budget.is_fitted,
        "suite": wanted.budget.suite.to_json(),
        "agreement": agreement_with(wanted.budget.suite),
        "verdict": verdict.to_json(),
        "strongest": best,
        "columns": columns_of(attacks, wanted.budget.suite.frames),
        **measured,
        "risks": risks,
        "curve": curve,
        "attacks": attacks,
        "not_tried": [entry.to_json() for entry in skipped],
        "checks": [check.to_json() for check in checks],
        "shown": {
            "typical": choice.typical,
            "most_exposed": choice.most_exposed,
            "least_exposed": choice.least_exposed,
        },
        "provenance": provenance(),
    }
    report["flags"] = flags_of(report)
    write_json(wanted.out / REPORT, report)
    shown = shown_pictures(report, subject, choice, wanted.out)
    write_page(report, shown, default_codec(measured["wire"]), wanted.out)
    write_annex(report, wanted.out)
    return report


def _require_size(target: Target) -> None:
    """Refuse pictures for which no attack here is made.

    Raises:
        ValueError: says the size and what to do.
    """
    height, width = target.input.height, target.input.width
    if max(height, width) > MOST_SIDE_PIXELS:
        raise ValueError(
            f"{target.name} takes pictures of {height}x{width}; attacks go up to {MOST_SIDE_PIXELS}x"
            f"{MOST_SIDE_PIXELS}: audit the same network exported for smaller pictures"
        )


def about_target(target: Target) -> dict[str, Any]:
    """What the report says of the target."""
    return {
        "name": target.name,
        "kind": target.kind,
        "digest": target.digest,
        "white_box": target.victim.white_box,
        "access": target.access,
        "stochastic": target.victim.stochastic,
        "input": [3, target.input.height, target.input.width],
        "feature": list(target.layout.own),
        "attacked_as": list(target.layout.maps),
        "lift": None if target.victim.lift is None else target.victim.lift.says,
        "lifted": list(target.victim.lifted_shape),
        "heard_after": target.heard,
        "classes": None if target.classes is None else len(target.classes),
        "label_kind": target.label_kind,
        **target.about,
    }


def _measure(subject: AuditSubject, wanted: Request, steps: Steps) -> dict[str, Any]:
    """What needs no attack, each step once."""
    wire = steps.once("wire", lambda: wire_figures(subject))

    def equal_bytes() -> dict[str, Any]:
        codec = subject.target.heard or default_codec(wire)
        return picture_codec_figures(subject, wire["codecs"][codec]["payload_bytes_mean"])

    def identity() -> dict[str, Any]:
        assert subject.judge is not None
        return identity_references(subject.x_NCHW, reference_auxiliary(subject), subject.judge)

    makers = {
        "accuracy": lambda: accuracy_figures(subject),
        "information": lambda: information_figures(subject, wanted.budget),
        "references": lambda: reference_figures(subject.x_NCHW, reference_auxiliary(subject)),
        "identity": identity,
        "picture_codecs": equal_bytes,
        "lengths": lambda: sizes_of_frames(subject, wire),
    }
    return {"wire": wire} | {name: steps.once(name, make) for name, make in makers.items()}


def _named(plan: Sequence[Planned], entries: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Entries with the names that a report calls their attacks by."""
    return {
        key: {
            **entries[key],
            "name": attack.name,
            "label": attack.label if frames == 1 else f"{attack.label}, {frames} looks averaged",
        }
        for attack, frames in plan
        if (key := key_of(attack, frames)) in entries
    }


def _risks(
    subject: AuditSubject, attacks: Mapping[str, Mapping[str, Any]], wanted: Request, steps: Steps
) -> dict[str, Any]:
    """The risks of what the attack that identifies most has restored, from as many frames as there are."""
    key = columns_of(attacks, wanted.budget.suite.frames)[str(wanted.budget.suite.frames)]["identity_attack"]
    made = steps.once(f"risks-{key}", lambda: risks_of(subject, kept_pictures(wanted.out, f"attack-{key}")))
    return {"attack": key, **made}


def _probe(
    subject: AuditSubject,
    plan: Sequence[Planned],
    attacks: Mapping[str, Mapping[str, Any]],
    wanted: Request,
    steps: Steps,
) -> dict[str, Any]:
    """The extra runs for sanity checks, on the strongest attack that is done right."""
    by_key = {key_of(attack, frames): (attack, frames) for attack, frames in plan}
    serious = {key: figures for key, figures in attacks.items() if not figures["as_the_paper"]}
    key = strongest(serious or attacks)
    assert key is not None

    def half() -> Any:
        return half_budget(subject, *by_key[key], attacks[key], steps, wanted.budget.half_pictures)

    def memory() -> Any:
        single = {name: attack for name, (attack, frames) in by_key.items() if frames == 1}
        return by_heart(subject, single, attacks, steps, wanted.budget.by_heart_epochs)

    return {"half": steps.once(f"half-{key}", half), "memory": steps.once("by-heart", memory)}
