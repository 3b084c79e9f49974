"""Entries from results: a row of the study, points of a front, networks of one's own, an audit's report.

An entry is derived from a result and nothing else, so that checking one is deriving it again.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from siftfunnel.lab.board.certificate import certificate_of
from siftfunnel.lab.board.entry import (
    BOARD,
    Answers,
    BoardError,
    Entry,
    Known,
    Leak,
    Suite,
    naming,
)
from siftfunnel.lab.board.work import work_of_bundle, work_of_recipe
from siftfunnel.lab.reports.audit_page import PICTURE_CODECS
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.json_fields import parse_object

RESULTS = BOARD.parent / "lab" / "results"
US, LICENCE = "siftfunnel", "Apache-2.0"
NO_CODEC, AUTOINVERT = "no codec", "AutoInvert"
READING = "reading"
"""The suite of a picture that is sent itself: whoever overhears it has it."""
SHOWN_CODECS = re.compile(r"(r\d+|(jpeg|webp)-q(10|20|50|90))$")
"""Points of a front that become entries besides each bundle's recommended codec."""

Result = Mapping[str, Any]
Leaks = Mapping[str, Leak]
Bundles = Mapping[str, Bundle]
"""Bundles that are at hand, by digest."""


def entries_of(path: Path, bundles: Bundles) -> list[Entry]:
    """Every entry that a result gives.

    Args:
        path: A study row's JSON file, a front, a table of one's own networks, or an audit's report.
        bundles: Bundles that a front's or a report's figures may be of.

    Raises:
        BoardError: the file is none of these, or its figures make no entry.
    """
    result = _read(path)
    reader = _reader_of(result)
    if reader is None:
        raise BoardError(
            f"{path}: is no result that a board reads; give a row of `siftfunnel lab run`, a front, a table "
            "of own networks or an audit's report.json"
        )
    root, place = BOARD.parent, path.resolve()
    is_kept = place.is_relative_to(root) and place.relative_to(root).parts[0] not in ("runs", "artifacts")
    about = {
        "kind": reader.__name__.strip("_"),
        "file": place.relative_to(root).as_posix() if is_kept else None,
    }
    try:
        with naming(str(path)):
            return [_entry(about, **values) for values in reader(result, bundles)]
    except (KeyError, TypeError) as error:
        raise BoardError(f"{path}: lacks what an entry needs ({error!r}); measure it anew") from None


@cache
def _read(path: Path) -> Result:
    try:
        return parse_object(path.read_bytes(), str(path))
    except OSError as error:
        raise BoardError(f"{path}: cannot be read: {error}") from None


def repository_results() -> list[Path]:
    """Every result of the repository that gives entries; those of ``brief`` had too little training."""
    paths = (path for path in sorted(RESULTS.rglob("*.json")) if path.parent.name not in ("before", "brief"))
    return [path for path in paths if _reader_of(_read(path))]


WHAT = ("title", "kind", "dataset", "input")
DEVICE = ("network", "cut", "edge_parameters", "edge_macs")
SENT = ("bytes_mean", "codec", "is_estimate")
"""Fields of an entry that readers give together."""


def _entry(
    about: Result,
    *,
    name: str,
    what: Sequence[Any],
    device: Sequence[Any],
    sent: Sequence[Any],
    leaks: Leaks,
    suite: Result | None,
    source: Callable[[str], str],
    origin: Result,
    **more: Any,
) -> Entry:
    """An entry with the suite's figures and the best of everything that was tried.

    Args:
        about: What of the origin is the same for all of a file.
        name: The entry's, to which the budget is added.
        what, device, sent: See ``WHAT``, ``DEVICE`` and ``SENT``.
        leaks: What each attack restored, by its key.
        suite: What ``Suite`` holds besides figures, with all its attacks' names and whether noise is drawn.
        source: Where an attack is described, by its key.
        origin: The rest of the origin.
        more: The entry's other fields.
    """
    none = dict.fromkeys(("bundle", "digest", "commit"))
    best, identity = _strongest(leaks.values()), _strongest(leaks.values(), "identified")
    keys = {id(leak): key for key, leak in leaks.items()}
    given = dict(zip((*WHAT, *DEVICE, *SENT), (*what, *device, *sent), strict=True))
    ran = _suite(leaks, **suite) if suite else None
    size = f"-{ran.budget.split(',')[0]}" if ran and ran.name == AUTOINVERT else ""
    values = {
        "certificate": (),
        "flags": (),
        **given,
        **more,
        "schema_version": 1,
        "id": name.lower() + size,
        "suite": ran,
        "best_known": Known(best, US, source(keys[id(best)])) if ran and best else None,
        "best_identity": Known(identity, US, source(keys[id(identity)])) if ran and identity else None,
        "origin": {**none, "by": US, "licence": LICENCE, "links": (), **about, **origin},
    }
    return Entry(**values)


def _suite(leaks: Leaks, *, attacks: Iterable[str], is_noisy: bool, **about: Any) -> Suite | None:
    """The figures of a suite's own attacks; others that ran too are none of its. None where none ran yet."""
    own = {key: leak for key, leak in leaks.items() if _attack(key) in attacks}
    once = _strongest(leak for leak in own.values() if leak.frames == 1)
    many = any(leak.frames > 1 for leak in own.values())
    if once is None:
        return None
    return Suite(
        attacks=tuple(sorted(set(map(_attack, own)))),
        is_noisy=is_noisy,
        from_1=once,
        from_16=_strongest(own.values()) if many else None,
        telling=_strongest(own.values(), "identified"),
        **{"attacked_sha256": None, "auxiliary": None, **about},
    )


def _attack(key: str) -> str:
    """Name of the attack that a result's key is of, however many observations it averages."""
    return key.split("-averaged-")[0]


def _strongest(leaks: Iterable[Leak], by: str = "psnr_db") -> Leak | None:
    """The leak of the highest figure; ties go by PSNR."""
    found = [leak for leak in leaks if getattr(leak, by) is not None]
    return max(found, key=lambda leak: (getattr(leak, by), leak.psnr_db), default=None)


def _scored(attack: Result) -> Leak:
    """An attack of a study's result or an audit's report."""
    scores, psnr = attack["scores"], attack["scores"]["standard"]["psnr_db"]
    rest = (scores["standard"]["ssim"]["mean"], scores["retrieval_rank1"], _shares(scores))
    return Leak(attack["label"], attack.get("frames", 1), psnr["mean"], psnr["ci95"], *rest)


def _shares(scores: Result) -> dict[str, float]:
    """Figures of identity without their intervals."""
    told = scores.get("identity") or {}
    return {name: value for name, value in told.items() if not isinstance(value, list)}


def _suite_of(result: Result, before: str, budget: str) -> dict[str, Any]:
    """Name, version and budget of a result's suite; results made before AutoInvert have another name each."""
    suite = result.get("suite")
    if suite is None:
        return {"name": before, "version": 1, "budget": budget}
    size = suite["budget"] + (", fitted to larger pictures" if suite["is_fitted"] else "")
    return {
        "name": suite["name"],
        "version": suite["version"],
        "budget": size,
        "agreement": _agreement(suite),
    }


def _agreement(suite: Result) -> str | None:
    """How far a budget is from longer ones, as results of it are told."""
    from siftfunnel.lab.evaluation.agreement import agreement_with
    from siftfunnel.lab.evaluation.suite import SUITES

    return " ".join(agreement_with(SUITES[suite["budget"]])) or None


def _study(result: Result, _: Bundles) -> Iterator[dict[str, Any]]:
    network, attacks, profile = result["network"], result["attacks"], result["profile"]
    if not attacks or "accuracy" not in result or "information" not in result:
        return
    work = work_of_recipe(result["training"]["recipe"])
    accuracy, data = result["accuracy"], result["dataset"]
    stopped = ", stopped at an accuracy" if result["row"].endswith("-equal") else ""
    weak = {key for key, attack in attacks.items() if attack["as_the_paper"]}
    paper = re.findall(r"arXiv:? ?(\d{4}\.\d{5})", result["defence"]["source"])
    seed = "" if result["seed"] == 1 else f"-seed{result['seed']}"
    yield {
        "name": f"{result['row']}{seed}-{profile}",
        "what": (result["defence"]["label"] + stopped, "study", data["name"], [network["input_size"]] * 2),
        "device": (f"{network['architecture']}, width {network['width']}", *work[:3]),
        "defence": result["defence"]["name"],
        "answers": Answers("accuracy", accuracy["test"], accuracy["ci95"], data["test"]),
        "sent": (
            result["information"]["entropy_coded_bits"]["mean"] / 8,
            "an entropy coder's estimate",
            True,
        ),
        "leaks": {key: _scored(attack) for key, attack in attacks.items()},
        "suite": {
            **_suite_of(result, f"study-{profile}", profile),
            "attacks": (result.get("suite") or result["profile_settings"])["attacks"],
            "attacked": next(iter(attacks.values()))["scores"]["pictures"],
            "auxiliary": data["auxiliary"],
            "heard": NO_CODEC,
            "is_noisy": work.is_noisy,
        },
        "source": lambda key: attacks[key]["source"],
        "flags": [flag for flag in result["flags"] if flag["about"] not in weak],
        "origin": {"links": [f"https://arxiv.org/abs/{one}" for one in paper], **_commit(result)},
    }


def _commit(result: Result) -> Result:
    return {"commit": (result.get("provenance") or {}).get("commit")}


def _front(result: Result, bundles: Bundles) -> Iterator[dict[str, Any]]:
    if not any(point["digest"] in bundles for point in result["points"]):
        return
    for point in result["points"]:
        bundle = bundles.get(point["digest"] or "")
        is_default = bundle is not None and bundle.manifest.default_codec == point["codec"]
        is_shown = is_default or SHOWN_CODECS.match(point["codec"])
        if point["leakage"] and is_shown and (bundle or not point["bundle"]):
            yield _point(point, result, bundle)


def _point(point: Result, front: Result, bundle: Bundle | None) -> dict[str, Any]:
    attacks, codec = point["leakage"]["all"], point["codec"]
    first = next(iter(attacks.values()))
    gain = point["leakage"].get("convergence") or {"more_helps": False}
    more = f"twice the training gains {gain.get('gain_db', 0):.2f} dB, and more may still help"
    suite = _front_suite(attacks) if bundle else {"name": READING, "version": 1, "budget": "none"}
    named = (f"{bundle.name}, {codec}", "bundle") if bundle else (_picture(codec), "picture-codec")
    return {
        "name": f"{point['bundle'] or front['dataset']}-{codec}",
        "what": (*named, front["dataset"], front["picture_shape"][:2]),
        "device": of_bundle(bundle) if bundle else (point["architecture"], *PICTURE),
        "defence": point["defence"] or "none",
        "answers": Answers("accuracy", point["accuracy"], point["accuracy_interval"], point["pictures"]),
        "sent": (point["payload_bytes_mean"], codec, False),
        "leaks": {key: _of_front(attack) for key, attack in attacks.items()},
        "suite": {
            "attacks": attacks,
            **suite,
            "attacked": point["leakage"]["pictures"],
            "attacked_sha256": first["attacked_sha256"],
            "auxiliary": max(attack.get("auxiliary_pictures") or 0 for attack in attacks.values()) or None,
            "heard": codec,
            "is_noisy": bundle is not None and work_of_bundle(bundle).is_noisy,
        },
        "source": lambda _: "siftfunnel lab front",
        "certificate": certificate_of(bundle, codec) if bundle else (),
        "flags": [{"about": "doubled", "kind": "not-converged", "text": more}] if gain["more_helps"] else [],
        "origin": {"bundle": bundle and bundle.name, "digest": bundle and bundle.digest, **_commit(point)},
    }


def _front_suite(attacks: Result) -> dict[str, Any]:
    """AutoInvert's, where some of its attacks ran; else what fronts were attacked with before it."""
    from siftfunnel.lab.evaluation.suite import SUITES

    for attack in attacks.values():
        told = re.fullmatch(r"(\w+) v(\d+), (\w+)", attack.get("suite") or "")
        own = set(attacks) & set(SUITES[told[3]].every) if told else set()
        if told and own:
            return {"name": told[1], "version": int(told[2]), "budget": told[3], "attacks": own}
    return {"name": "front", "version": 1, "budget": next(iter(attacks.values()))["profile"]}


PICTURE = ("the picture itself is sent", 0, None)


def _picture(codec: str) -> str:
    kind, _, quality = codec.partition("-q")
    return f"{PICTURE_CODECS[kind]}, quality {quality}"


def _of_front(attack: Result) -> Leak:
    psnr_db, interval, ssim, retrieved = (
        attack[key] for key in ("psnr_db", "psnr_interval", "ssim", "retrieved")
    )
    return Leak(attack["label"], 1, psnr_db, interval, ssim, retrieved, _shares(attack))


def of_bundle(bundle: Bundle) -> tuple[str, str, int, int | None]:
    """What of a bundle runs on the device, as ``DEVICE`` names it."""
    return bundle.manifest.architecture, *work_of_bundle(bundle)[:3]


OWN_MEASURES: dict[str, Any] = {"same best class": "agreement", "1 - relative error": "likeness"}


def _own_networks(result: Result, _: Bundles) -> Iterator[dict[str, Any]]:
    for row in result["rows"]:
        codec, audit, pictures = row["codec"], row["audit"], row["pictures"]
        point, attacks = row["points"][codec], audit["attacks"] if audit else {}
        measure = OWN_MEASURES[row["agreement_is"]]
        # the share has four digits
        macs = int(float(f"{row['macs'] * row['edge_mac_share']:.3g}"))
        differs = {"about": "input", "kind": "differs", "text": f"its own program {row['differs']}"}
        yield {
            "name": f"own-{row['network']}-{pictures['name']}-{codec}",
            "what": (f"{row['network']}, {codec}", "own-network", pictures["name"], row["input"]),
            "device": (f"{row['network']} ({row['wheel']})", " + ".join(row["cut"]), None, macs),
            "defence": "funnel in closed form",
            "answers": Answers(measure, point["agreement"], point["agreement_ci95"], pictures["held_out"]),
            "sent": (point["payload_bytes_mean"], codec, False),
            "leaks": {key: _of_own(key, attack) for key, attack in attacks.items()},
            "suite": audit and {**_audit_terms(audit), "attacks": attacks, "heard": codec},
            "source": lambda _: "siftfunnel lab audit",
            "flags": [differs] if row["differs"] else [],
            "origin": {"licence": row["licence"], **_commit(row)},
        }


def _audit_terms(audit: Result) -> Result:
    """Suite and pictures of an audit of which the row keeps only its command line and its verdict."""
    flags = dict(zip(audit["flags"][::2], audit["flags"][1::2], strict=True))
    told = re.search(r"(\d+) pictures\)", audit["verdict"]["paragraphs"][0]["text"])
    size = flags["--budget"]
    return {"name": f"audit-{size}", "version": 1, "budget": size, "attacked": told and int(told[1])} | {
        "is_noisy": False
    }


def _of_own(key: str, attack: Result) -> Leak:
    return Leak(
        key, 1, attack["psnr_db"]["mean"], attack["psnr_db"]["ci95"], attack["ssim"]["mean"], None, {}
    )


def _audit(report: Result, bundles: Bundles) -> Iterator[dict[str, Any]]:
    target, data, wire, answers = (report[key] for key in ("target", "dataset", "wire", "accuracy"))
    attacks, bundle = report["attacks"], bundles.get(target["digest"])
    codec = target["heard_after"] or wire["default"] or "q8"
    failed = [check for check in report["checks"] if check["status"] == "FAIL"]
    flags = [{"about": "attacks", "kind": check["key"], "text": check["finding"]} for check in failed]
    size = report["budget"]
    unknown = (target["architecture"] or target["name"], target["split_point"] or "not told", None, None)
    yield {
        "name": f"{target['name']}-{codec}",
        "what": (f"{target['name']}, {codec}", "bundle", data["name"], target["input"][1:]),
        "device": of_bundle(bundle) if bundle else unknown,
        "defence": target["defence"] or "not told",
        "answers": Answers(*(answers[key] for key in ("kind", "mean", "ci95", "pictures")))
        if answers["measured"]
        else None,
        "sent": (wire["codecs"][codec]["payload_bytes_mean"], codec, wire["default"] is None),
        "leaks": {key: _scored(attack) for key, attack in attacks.items()},
        "suite": {
            **_suite_of(report, f"audit-{size}", size),
            "attacks": (report.get("suite") or {}).get("attacks", set(map(_attack, attacks))),
            "attacked": data["attacked_pictures"],
            "attacked_sha256": data["attacked_sha256"],
            "auxiliary": data["auxiliary_pictures"],
            "heard": target["heard_after"] or NO_CODEC,
            "is_noisy": target["stochastic"],
        },
        "source": lambda key: attacks[key]["source"],
        "certificate": certificate_of(bundle, codec) if bundle else (),
        "flags": [*report.get("flags", []), *flags],
        "origin": {"bundle": target["name"], "digest": target["digest"], **_commit(report)},
    }


def _reader_of(result: Result) -> Callable[[Result, Bundles], Iterator[dict[str, Any]]] | None:
    """What makes entries of a result, by what it is known by."""
    if "row" in result and "profile_settings" in result:
        return _study
    if "verdict" in result and "target" in result:
        return _audit
    return {"front": _front, "own-networks": _own_networks}.get(result.get("kind", ""))
