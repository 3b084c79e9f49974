"""Measures a row of the table of other people's networks.

python -m tests.own_networks.study gender --images FACES [--scored OTHERS] --work DIR [--audit] [--out FILE]

A network goes through the whole of `siftfunnel split` as real processes and is served; with `--audit` it is
attacked too. Rows that FILE has are replaced, others stay. Pictures, networks and what attacks restore stay
in DIR, which must lie where git does not look.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from siftfunnel.lab.provenance import provenance
from siftfunnel.shared.files import write_file
from tests.conftest import ROOT, Processes
from tests.own_networks.journey import Journey
from tests.own_networks.networks import NETWORKS, OwnNetwork

RESULTS = ROOT / "lab/results/own/networks.json"
SCHEMA = 1
PICTURE_KINDS = ("jpeg", "webp")


def main(arguments: list[str]) -> None:
    """Measure one row and write it."""
    args = _parser().parse_args(arguments)
    network = next(network for network in NETWORKS if network.name == args.network)
    place = args.work / network.name
    journey = Journey(network, args.images, place)
    row = _stored(place / "row.json") or _measured(journey, args.scored or args.images, args.served)
    write_file(place / "row.json", _json(row))
    if args.audit:
        row |= {"audit": _audit(journey, args.scored or args.images, args.audit)}
    _put(args.out, row)
    print(f"{args.out}: {network.name} on {row['pictures']['name']}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.own_networks.study")
    parser.add_argument("network", choices=[network.name for network in NETWORKS])
    parser.add_argument("--images", type=Path, required=True, help="pictures to fit to")
    parser.add_argument("--scored", type=Path, help="others to score on (default: held-out ones of these)")
    parser.add_argument("--served", type=Path, required=True, help="a folder of some pictures to serve")
    parser.add_argument("--work", type=Path, required=True, help="where everything lands")
    parser.add_argument("--audit", nargs=argparse.REMAINDER, help="attack, with these flags of `lab audit`")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser


def _measured(journey: Journey, scored: Path, served: Path) -> dict[str, Any]:
    whole = journey.inspect()
    journey.check()
    bundle = journey.make_bundle(scored)
    processes = Processes(journey.folder)
    try:
        answers = journey.serve(served, processes)
    finally:
        processes.stop()
    seconds = {step: took for step, took in journey.seconds.items() if step != "edge"}
    report = bundle.report()
    return {
        **_about(journey.network),
        "parameters": whole["parameters"],
        "macs": whole["macs"],
        "cut": bundle.manifest.split_point.split("+"),
        "sent": [list(tensor.shape) for tensor in bundle.manifest.sent],
        "pictures": {**report["pictures"], "name": scored.stem, "fitted_to": journey.images.stem},
        "fitted": report["fit"]["fitted"],
        "agreement_is": report["agreement_is"],
        "codec": bundle.manifest.default_codec,
        "points": _points(report),
        "picture_codecs": report["picture_codecs"],
        **{name: report[name] for name in ("edge_mac_share", "edge_milliseconds", "cloud_milliseconds")},
        "agreement_of_a_constant_answer": report["agreement_of_a_constant_answer"],
        "served": {"frames": len(answers.answers), "agreement": answers.agreement},
        "seconds": seconds,
        "load": os.getloadavg()[2],
        "audit": None,
        "provenance": provenance(),
    }


def _about(network: OwnNetwork) -> dict[str, Any]:
    return {
        "network": network.name,
        "wheel": f"{network.wheels[-1].project} {network.wheels[-1].version}",
        "licence": network.wheels[-1].licence,
        "differs": network.differs,
        "input": [network.input.height, network.input.width],
    }


def _points(report: Mapping[str, Any]) -> dict[str, Any]:
    equal = report["pictures_at_equal_agreement"]
    wanted = ("payload_bytes_mean", "payload_bytes_p95", "agreement", "agreement_ci95", "accuracy")
    return {
        name: {key: figures[key] for key in wanted if key in figures} | equal[name]
        for name, figures in report["codecs"].items()
    }


def _audit(journey: Journey, pictures: Path, flags: list[str]) -> dict[str, Any]:
    place = journey.folder / "audit"
    journey.run("audit", "lab", "audit", journey.bundle, "--images", pictures, "--out", place, *flags)
    figures = audit_figures(place / "report.json")
    return {"flags": flags, **figures, "seconds": journey.seconds["audit"]}


def audit_figures(report_file: Path) -> dict[str, Any]:
    """What tables say of an audit, by the report that it wrote."""
    report = json.loads(report_file.read_text())
    formats = report["picture_codecs"]["formats"]
    return {
        "attack": report["strongest"],
        "attacks": {name: _scores(each["scores"]) for name, each in report["attacks"].items()},
        "pictures": report["dataset"].get("attacked"),
        **_scores(report["attacks"][report["strongest"]]["scores"]),
        "guess_psnr_db": report["references"]["mean_image"]["standard"]["psnr_db"]["mean"],
        "equal_bytes": {
            kind: _scores(formats[kind]) for kind in PICTURE_KINDS if "standard" in formats[kind]
        },
        "verdict": report["verdict"],
    }


def _scores(values: Mapping[str, Any]) -> dict[str, Any]:
    standard = values["standard"]
    return {name: {key: standard[name][key] for key in ("mean", "ci95")} for name in ("psnr_db", "ssim")}


def _stored(file: Path) -> dict[str, Any] | None:
    return json.loads(file.read_text()) if file.is_file() else None


def _put(file: Path, row: Mapping[str, Any]) -> None:
    result = _stored(file) or {"schema": SCHEMA, "kind": "own-networks", "rows": []}
    key = (row["network"], row["pictures"]["name"])
    rows = [each for each in result["rows"] if (each["network"], each["pictures"]["name"]) != key]
    order = [network.name for network in NETWORKS]
    rows = sorted([*rows, dict(row)], key=lambda each: order.index(each["network"]))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, _json({**result, "provenance": provenance(), "rows": rows}))


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
