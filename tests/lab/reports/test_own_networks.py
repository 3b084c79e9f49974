"""The table of other people's networks says what was measured, and what was not."""

from typing import Any

from siftfunnel.lab.reports.own_networks import networks_page
from siftfunnel.lab.reports.pages import to_markdown


def row(**changes: Any) -> dict[str, Any]:
    point = {
        "payload_bytes_mean": 120.4,
        "agreement": 0.9,
        "agreement_ci95": [0.85, 0.94],
        "jpeg": {"bytes_mean": 602.0, "times": 5.0},
        "webp": None,
    }
    return {
        "network": "mine",
        "wheel": "mine 1.0",
        "licence": "MIT",
        "differs": "",
        "cut": ["a", "b"],
        "pictures": {"name": "beach"},
        "codec": "l120",
        "points": {"l120": point},
        "edge_mac_share": 0.25,
        "edge_milliseconds": 1.0,
        "cloud_milliseconds": 3.0,
        "agreement_of_a_constant_answer": 0.5,
        "seconds": {"fit": 50.0, "export": 11.0},
        "load": 9.6,
        "audit": None,
    } | changes


def rendered(*rows: dict[str, Any]) -> list[list[str]]:
    machine = {"processor": "some", "cores": 2}
    text = to_markdown(networks_page({"provenance": {"machine": machine}, "rows": list(rows)}))
    lines = [line for line in text.splitlines() if line.startswith("| mine")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_row_has_bytes_and_agreement_beside_what_pictures_need() -> None:
    costs, leaks, about = rendered(row())
    assert costs[2:9] == [
        "`a` + `b`",
        "25.0",
        "120",
        "90.0 [85.0, 94.0]",
        "50.0",
        "602 (5.0x)",
        "not reached",
    ]
    assert costs[9:] == ["61", "10", "1.0 + 3.0"]
    assert leaks[3:] == ["not run", *["-"] * 7]
    assert about[-1] == "-"


def test_an_audit_stands_beside_the_picture_of_the_same_bytes() -> None:
    scores = {"psnr_db": {"mean": 17.0, "ci95": [16.0, 18.0]}, "ssim": {"mean": 0.4, "ci95": [0.3, 0.5]}}
    audit = {"attack": "residual", **scores, "guess_psnr_db": 12.0, "equal_bytes": {"webp": scores}}
    _, leaks, _ = rendered(row(audit=audit))
    assert leaks[3:7] == ["residual", "17.0 [16.0, 18.0]", "0.400 [0.300, 0.500]", "12.0"]
    assert leaks[7:] == ["-", "-", "17.0 [16.0, 18.0]", "0.400 [0.300, 0.500]"]


def test_a_network_that_always_says_the_same_is_named() -> None:
    machine = {"processor": "some", "cores": 2}
    rows = [row(), row(network="yes", agreement_of_a_constant_answer=0.99)]
    text = to_markdown(networks_page({"provenance": {"machine": machine}, "rows": rows}))
    named = [line for line in text.splitlines() if "no more than a constant answer's" in line]
    assert [line.split(":")[0] for line in named] == ["- yes on beach"]
