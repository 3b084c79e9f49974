"""Gathers the front of one network, agreement against bytes at several cuts, from bundles that were exported.

python -m tests.own_networks.front --network NAME --bundle PICTURES CUT FUNNEL DIR ... [--audit REPORT ...]
    [--out FILE]

PICTURES names the pictures that the bundle's report is about, CUT the cut for people, FUNNEL is linear or
trained. Picture codecs are those of the first bundle of each set of pictures. REPORT is the JSON report of an
audit of one of the bundles, after one of its codecs.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from siftfunnel.lab.metrics.intervals import accuracy_interval
from siftfunnel.lab.provenance import provenance
from siftfunnel.shared.bundle import load_bundle
from siftfunnel.shared.files import write_file
from tests.conftest import ROOT
from tests.own_networks.study import audit_figures

RESULTS = ROOT / "lab/results/own/front.json"


def main(arguments: list[str]) -> None:
    """Write the front."""
    parser = argparse.ArgumentParser(prog="python -m tests.own_networks.front")
    parser.add_argument("--network", required=True)
    parser.add_argument(
        "--bundle", nargs=4, action="append", required=True, metavar=("PICTURES", "CUT", "FUNNEL", "DIR")
    )
    parser.add_argument("--audit", type=Path, nargs="*", default=[], metavar="REPORT")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    audits = dict(map(_audited, args.audit))
    sets: dict[str, dict[str, Any]] = {}
    for pictures, cut, funnel, folder in args.bundle:
        bundle = load_bundle(folder, need=())
        report = bundle.report()
        of_set = sets.setdefault(pictures, _set_of(report, pictures))
        of_set["funnels"].append(
            {
                "cut": cut,
                "tensors": bundle.manifest.split_point,
                "funnel": funnel,
                "fitted_to": report["fit"]["pictures"],
                "edge_mac_share": report["edge_mac_share"],
                "points": [
                    {
                        "codec": codec,
                        **figures,
                        "equal": report["pictures_at_equal_agreement"][codec],
                        "audit": audits.pop((bundle.digest, codec), None),
                    }
                    for codec, figures in report["codecs"].items()
                ],
                "commit": report["provenance"]["commit"],
            }
        )
    if audits:
        raise SystemExit(f"audits of no bundle here: {', '.join(map(str, audits))}")
    front = {
        "schema": 1,
        "kind": "own-front",
        "network": args.network,
        "sets": list(sets.values()),
        "provenance": provenance(),
    }
    write_file(args.out, json.dumps(front, indent=1, allow_nan=False).encode() + b"\n")


def _audited(file: Path) -> tuple[tuple[str, str], dict[str, Any]]:
    target = json.loads(file.read_text())["target"]
    return (target["digest"], target["heard_after"]), audit_figures(file)


def _set_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    count = report["pictures"]["held_out"]
    codecs = {
        kind: [
            {**point, "agreement_ci95": accuracy_interval(round(point["agreement"] * count), count)}
            for point in points
        ]
        for kind, points in report["picture_codecs"].items()
    }
    return {"name": name, "pictures": count, "picture_codecs": codecs, "funnels": []}


if __name__ == "__main__":
    main(sys.argv[1:])
