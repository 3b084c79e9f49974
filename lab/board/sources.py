"""Entries from results: a row of the study, points of a front, networks of one's own, an audit's report.

An entry is derived from a result and nothing else, so that checking one is deriving it again.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from siftfunnel.lab.board.entry import BOARD, MANY_FRAMES, BoardError, Entry, made, read_text
from siftfunnel.lab.board.work import Work, work_of_bundle, work_of_recipe
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.json_fields import parse_object

MOST_RESULT_BYTES = 256 * 1024 * 1024
US, LICENCE = "siftfunnel", "Apache-2.0"
NO_CODEC = "no codec"
READING = "reading"
"""The suite of a picture that is sent itself: whoever overhears it has it."""
SHOWN_CODECS = re.compile(r"(r\d+|(jpeg|webp)-q(10|20|50|90))$")
"""Points of a front that become entries besides each bundle's recommended codec."""

Values = dict[str, Any]
Result = Mapping[str, Any]
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
    kind = next((kind for kind, (is_one, _) in READERS.items() if is_one(result)), None)
    if kind is None:
        raise BoardError(
            f"{path}: is no result that a board reads; give a row of `siftfunnel lab run`, a front, a table "
            "of own networks or an audit's report.json"
        )
    commons = {"kind": kind, "file": in_repository(path), "by": US, "licence": LICENCE, "links": []}
    made_of: list[Entry] = []
    try:
        for values in READERS[kind][1](result, bundles):
            values["origin"] = {**NO_ORIGIN, **commons, **made_by(result), **values["origin"]}
            made_of.append(made(Entry, str(path), {"schema_version": 1, **values}))
    except (KeyError, TypeError) as error:
        raise BoardError(f"{path}: lacks what an entry needs ({error!r}); measure it anew") from None
    return made_of


@cache
def _read(path: Path) -> Result:
    return parse_object(read_text(path, MOST_RESULT_BYTES), str(path))


NO_ORIGIN = dict.fromkeys(("file", "pick", "bundle", "digest"))


def in_repository(path: Path) -> str | None:
    """Where a file lies below the repository's root; None where it is not in it, or not to be kept."""
    root = BOARD.parent
    found = path.resolve()
    is_kept = found.is_relative_to(root) and found.relative_to(root).parts[0] not in ("runs", "artifacts")
    return found.relative_to(root).as_posix() if is_kept else None


def made_by(result: Result) -> Values:
    """Commit and processor of a result."""
    told = result.get("provenance") or {}
    return {"commit": told.get("commit"), "processor": (told.get("machine") or {}).get("processor")}


def leak_of(attack: Result) -> Values:
    """An attack's figures as a study's result and an audit's report have them."""
    standard = attack["scores"]["standard"]
    return {
        "attack": attack["label"],
        "frames": attack.get("frames", 1),
        "psnr_db": standard["psnr_db"]["mean"],
        "psnr_ci95": standard["psnr_db"]["ci95"],
        "ssim": standard["ssim"]["mean"],
        "retrieval": attack["scores"]["retrieval_rank1"],
        "identity": dict(attack["scores"].get("identity") or {}),
    }


def strongest(leaks: Iterable[Values], by: str = "psnr_db") -> Values | None:
    """The leak of the highest figure; ties go by PSNR."""
    found = [leak for leak in leaks if leak[by] is not None]
    return max(found, key=lambda leak: (leak[by], leak["psnr_db"]), default=None)


def known(leaks: Mapping[str, Values], sources: Mapping[str, str]) -> Values:
    """The best known attacks of an entry: of everything that was tried here, not of the suite alone."""
    told = [{**leak, "by": US, "source": sources[key], "is_reproduced": True} for key, leak in leaks.items()]
    return {"best_known": strongest(told), "best_identity": strongest(told, "retrieval")}


def attacked_by(leaks: Mapping[str, Values], suite: Result, *, is_noisy: bool) -> Values:
    """A suite's figures: the strongest of its own attacks, from one frame and from many."""
    own = {key: leak for key, leak in leaks.items() if key.split("-averaged-")[0] in suite["attacks"]}
    return {
        "attacked_sha256": None,
        "auxiliary": None,
        "agreement": None,
        "from_1": strongest(leak for leak in own.values() if leak["frames"] == 1),
        "from_16": strongest(own.values()) if is_noisy else None,
        **suite,
        "attacks": sorted({key.split("-averaged-")[0] for key in own}),
    }


def _study(result: Result, _: Bundles) -> Iterator[Values]:
    network, defence, profile = result["network"], result["defence"], result["profile"]
    attacks, settings = result["attacks"], result["profile_settings"]
    if not attacks or "accuracy" not in result:
        return
    leaks = {key: leak_of(attack) for key, attack in attacks.items()}
    work: Work = work_of_recipe(result["training"]["recipe"])
    is_noisy = any(leak["frames"] == MANY_FRAMES for leak in leaks.values())
    suite = result.get("suite") or {"name": f"study-{profile}", "version": 1, "budget": profile}
    about = {
        "attacks": list(settings["attacks"]),
        "attacked": next(iter(attacks.values()))["scores"]["pictures"],
        "auxiliary": result["dataset"]["auxiliary"],
        "heard": NO_CODEC,
    }
    told = result["row"] + ("" if result["seed"] == 1 else f"-seed{result['seed']}")
    is_equal = result["row"].endswith("-equal")
    weak = {key for key, attack in attacks.items() if attack["as_the_paper"]}
    yield {
        "id": f"{told}-{profile}",
        "title": defence["label"] + (", stopped at an accuracy" if is_equal else ""),
        "kind": "study",
        "dataset": result["dataset"]["name"],
        "network": {
            "name": f"{network['architecture']}, width {network['width']}",
            "cut": work.cut,
            "input": [network["input_size"]] * 2,
            "edge_parameters": network.get("edge_parameters", work.parameters),
            "edge_macs": work.macs,
        },
        "defence": defence["name"],
        "answers": {
            "measure": "accuracy",
            "value": result["accuracy"]["test"],
            "ci95": result["accuracy"]["ci95"],
            "pictures": result["accuracy"].get("pictures", result["dataset"]["test"]),
        },
        "sent": {
            "mean": result["information"]["entropy_coded_bits"]["mean"] / 8,
            "codec": "an entropy coder's estimate",
            "is_estimate": True,
        },
        "suite": attacked_by(leaks, {**suite, **about}, is_noisy=is_noisy),
        **known(leaks, {key: attack["source"] for key, attack in attacks.items()}),
        "certificate": result.get("certificate", []),
        "flags": [flag for flag in result.get("flags", []) if flag["about"] not in weak],
        "origin": {"pick": None, "links": _links(defence["source"])},
    }


def _links(source: str) -> list[str]:
    return [f"https://arxiv.org/abs/{number}" for number in re.findall(r"arXiv:? ?(\d{4}\.\d{5})", source)]


def _front(result: Result, bundles: Bundles) -> Iterator[Values]:
    if not any(point["digest"] in bundles for point in result["points"]):
        return
    for point in result["points"]:
        bundle = bundles.get(point["digest"] or "")
        is_default = bundle is not None and bundle.manifest.default_codec == point["codec"]
        is_ours = bundle is not None or point["bundle"] is None
        if point["leakage"] and is_ours and (is_default or SHOWN_CODECS.match(point["codec"])):
            yield _of_point(point, result, bundle)


def _of_point(point: Result, front: Result, bundle: Bundle | None) -> Values:
    attacks = point["leakage"]["all"]
    leaks = {key: _front_leak(attack) for key, attack in attacks.items()}
    first = next(iter(attacks.values()))
    height, width = front["picture_shape"][:2]
    suite = {"name": "front", "budget": first["profile"]} if bundle else {"name": READING, "budget": "none"}
    about = {
        "version": 1,
        "attacks": list(attacks),
        "attacked": point["leakage"]["pictures"],
        "attacked_sha256": first["attacked_sha256"],
        "auxiliary": max(attack.get("auxiliary_pictures") or 0 for attack in attacks.values()) or None,
        "heard": point["codec"],
    }
    convergence = point["leakage"].get("convergence") or {}
    more = f"twice the training gains {convergence.get('gain_db', 0):.2f} dB, and more may still help"
    flags = (
        [{"about": "doubled", "kind": "not-converged", "text": more}] if convergence.get("more_helps") else []
    )
    return {
        "id": f"{point['bundle'] or front['dataset']}-{point['codec']}",
        "title": title_of_bundle(bundle, point["codec"]) if bundle else _picture_title(point["codec"]),
        "kind": "bundle" if bundle else "picture-codec",
        "dataset": front["dataset"],
        "network": network_of_bundle(bundle)
        if bundle
        else {
            "name": point["architecture"],
            "cut": "the picture itself is sent",
            "input": [height, width],
            "edge_parameters": 0,
            "edge_macs": None,
        },
        "defence": point["defence"] or "none",
        "answers": {
            "measure": "accuracy",
            "value": point["accuracy"],
            "ci95": point["accuracy_interval"],
            "pictures": point["pictures"],
        },
        "sent": {"mean": point["payload_bytes_mean"], "codec": point["codec"], "is_estimate": False},
        "suite": attacked_by(leaks, {**suite, **about}, is_noisy=False),
        **known(leaks, dict.fromkeys(leaks, "siftfunnel lab front")),
        "certificate": [],
        "flags": flags,
        "origin": {
            "pick": f"{point['bundle']} {point['codec']}" if bundle else point["codec"],
            "bundle": bundle and bundle.name,
            "digest": bundle and bundle.digest,
            **made_by(point),
        },
    }


def _picture_title(codec: str) -> str:
    kind, _, quality = codec.partition("-q")
    return f"{ {'jpeg': 'JPEG', 'webp': 'WebP'}[kind] }, quality {quality}"


def _front_leak(attack: Result) -> Values:
    return {
        "attack": attack["label"],
        "frames": 1,
        "psnr_db": attack["psnr_db"],
        "psnr_ci95": attack["psnr_interval"],
        "ssim": attack["ssim"],
        "retrieval": attack["retrieved"],
        "identity": {},
    }


def network_of_bundle(bundle: Bundle) -> Values:
    """What of a bundle runs on the device."""
    manifest, work = bundle.manifest, work_of_bundle(bundle)
    return {
        "name": manifest.architecture,
        "cut": work.cut,
        "input": [manifest.input.height, manifest.input.width],
        "edge_parameters": work.parameters,
        "edge_macs": work.macs,
    }


def title_of_bundle(bundle: Bundle, codec: str) -> str:
    """What a bundle after a codec is called."""
    return f"{bundle.name}, {codec}"


OWN_MEASURES = {"same best class": "agreement", "1 - relative error": "likeness"}


def _own_networks(result: Result, _: Bundles) -> Iterator[Values]:
    from siftfunnel.lab.audit.budgets import budget

    for row in result["rows"]:
        codec, audit = row["codec"], row["audit"]
        point = row["points"][codec]
        leaks = {key: _own_leak(attack, key) for key, attack in (audit or {"attacks": {}})["attacks"].items()}
        flags = dict(zip(audit["flags"][::2], audit["flags"][1::2], strict=True)) if audit else {}
        pictures = (
            int(flags.get("--pictures", 0))
            or budget(flags.get("--budget", "quick")).at(*row["input"]).pictures
        )
        suite = {
            "name": f"audit-{flags.get('--budget')}",
            "version": 1,
            "budget": flags.get("--budget"),
            "attacks": list(leaks),
            "attacked": audit and (audit["pictures"] or pictures),
            "auxiliary": int(flags["--auxiliary"]) if "--auxiliary" in flags else None,
            "heard": codec,
        }
        differs = row["differs"] and {
            "about": "input",
            "kind": "differs",
            "text": f"its own program {row['differs']}",
        }
        yield {
            "id": f"own-{row['network']}-{row['pictures']['name']}-{codec}",
            "title": f"{row['network']}, {codec}",
            "kind": "own-network",
            "dataset": row["pictures"]["name"],
            "network": {
                "name": f"{row['network']} ({row['wheel']})",
                "cut": " + ".join(row["cut"]),
                "input": row["input"],
                "edge_parameters": None,
                # the share has four digits
                "edge_macs": int(float(f"{row['macs'] * row['edge_mac_share']:.3g}")),
            },
            "defence": "funnel in closed form",
            "answers": {
                "measure": OWN_MEASURES[row["agreement_is"]],
                "value": point["agreement"],
                "ci95": point["agreement_ci95"],
                "pictures": row["pictures"]["held_out"],
            },
            "sent": {"mean": point["payload_bytes_mean"], "codec": codec, "is_estimate": False},
            "suite": attacked_by(leaks, suite, is_noisy=False) if leaks else None,
            **known(leaks, dict.fromkeys(leaks, "siftfunnel lab audit")),
            "certificate": [],
            "flags": [differs] if differs else [],
            "origin": {
                "pick": f"{row['network']} {row['pictures']['name']}",
                "licence": row["licence"],
                **made_by(row),
            },
        }


def _own_leak(attack: Result, key: str) -> Values:
    psnr, ssim = attack["psnr_db"], attack["ssim"]
    told = {"psnr_db": psnr["mean"], "psnr_ci95": psnr["ci95"], "ssim": ssim["mean"]}
    return {"attack": key, "frames": 1, "retrieval": attack.get("retrieval_rank1"), "identity": {}, **told}


def _audit(report: Result, bundles: Bundles) -> Iterator[Values]:
    target, data, wire = report["target"], report["dataset"], report["wire"]
    bundle = bundles.get(target["digest"])
    codec = target["heard_after"] or wire["default"] or "q8"
    leaks = {key: leak_of(attack) for key, attack in report["attacks"].items()}
    suite = report.get("suite") or {
        "name": f"audit-{report['budget']}",
        "version": 1,
        "budget": report["budget"],
    }
    about = {
        "attacks": sorted({key.split("-averaged-")[0] for key in leaks}),
        "attacked": data["attacked_pictures"],
        "attacked_sha256": data["attacked_sha256"],
        "auxiliary": data["auxiliary_pictures"],
        "heard": target["heard_after"] or NO_CODEC,
    }
    answers = report["accuracy"]
    failed = [check for check in report["checks"] if check["status"] == "FAIL"]
    flags = [{"about": "attacks", "kind": check["key"], "text": check["finding"]} for check in failed]
    network = {
        "name": target["architecture"] or target["name"],
        "cut": target["split_point"] or "as its authors cut it",
        "input": target["input"][1:],
        "edge_parameters": None,
        "edge_macs": None,
    }
    yield {
        "id": re.sub(r"[^a-z0-9._-]", "-", f"{target['name']}-{codec}".lower()),
        "title": f"{target['name']}, {codec}",
        "kind": "bundle",
        "dataset": data["name"],
        "network": network_of_bundle(bundle) if bundle else network,
        "defence": target["defence"] or "not told",
        "answers": {
            "measure": answers["kind"],
            "value": answers["mean"],
            "ci95": answers["ci95"],
            "pictures": answers["pictures"],
        }
        if answers["measured"]
        else None,
        "sent": {
            "mean": wire["codecs"][codec]["payload_bytes_mean"],
            "codec": codec,
            "is_estimate": wire["default"] is None,
        },
        "suite": attacked_by(leaks, {**suite, **about}, is_noisy=target["stochastic"]),
        **known(leaks, {key: attack["source"] for key, attack in report["attacks"].items()}),
        "certificate": report.get("certificate", []),
        "flags": [*report.get("flags", []), *flags],
        "origin": {"bundle": target["name"], "digest": target["digest"]},
    }


READERS: Mapping[str, tuple[Callable[[Result], bool], Callable[[Result, Bundles], Iterator[Values]]]] = {
    "study": (lambda r: "row" in r and "profile_settings" in r, _study),
    "front": (lambda r: r.get("kind") == "front", _front),
    "own-networks": (lambda r: r.get("kind") == "own-networks", _own_networks),
    "audit": (lambda r: "verdict" in r and "target" in r, _audit),
}
"""What a result is known by, and what makes entries of it."""
