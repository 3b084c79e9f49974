"""Figures from cells, and cells as Markdown."""

from typing import Any

import pytest

from siftfunnel.bench.peers.table import Spread, ratio, render_peers, spread


def cell(number: int, clients: int, rate: float, p99_ms: float) -> dict[str, Any]:
    return {
        "round": number,
        "clients": clients,
        "frames": 100,
        "frames_per_s": rate,
        "p50_ms": 1.0,
        "p99_ms": p99_ms,
        "client_cpu": 0.25,
        "answered": 110,
        "server_cpu": 0.99,
        "server_cpu_ms_per_frame": 2.5,
    }


def row(name: str, cells: list[dict[str, Any]], stopped: str | None = None) -> dict[str, Any]:
    return {"peer": name, "wire": "bytes", "request_bytes": 9, "stopped": stopped, "cells": cells}


def about(name: str, unavailable: str | None = None) -> dict[str, Any]:
    label, settings = name.upper(), "as it comes"
    return {
        "peer": name,
        "label": label,
        "settings": settings,
        "requirements": [],
        "unavailable": unavailable,
    }


OURS = row("siftfunnel", [cell(1, 8, 200.0, 10.0), cell(2, 8, 220.0, 8.0)])
DEAD = row("dead", [cell(1, 8, 100.0, 40.0)], stopped="round 2: HttpError: gone | away")


def document(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "provenance": {
            "commit": "0123456789abcdef",
            "versions": {"python": "3.11", "onnxruntime": "1"},
            "machine": {"processor": "a processor", "cores": 2, "system": "Linux"},
        },
        "bundle": "tiny",
        "feature_shape": [12, 8, 8],
        "clients": [8],
        "seconds": 2.0,
        "rounds": 2,
        "server_core": 0,
        "client_core": 1,
        "complete": True,
        "peers": [about("siftfunnel"), about("dead"), about("absent", "cannot be installed:\n no | index")],
        "models": [
            {
                "model": "real",
                "bare": [{"round": 1, "batch": 1, "frames_per_s": 250.0}],
                "rows": [OURS, DEAD],
            }
        ],
    }
    return {**made, **changes}


def test_ratios_are_of_the_same_round() -> None:
    assert ratio("throughput", OURS, DEAD, 8) == Spread(2.0, 2.0, 2.0)
    assert ratio("p99", OURS, DEAD, 8) == Spread(4.0, 4.0, 4.0)
    assert ratio("throughput", OURS, DEAD, 16) is None
    assert spread(OURS, 8, "frames_per_s") == Spread(210.0, 200.0, 220.0)


def test_the_table_tells_figures_ratios_who_fell_out_and_who_never_ran() -> None:
    text = render_peers(document())
    assert "| SIFTFUNNEL; bytes | 8 | 210 [200, 220] | 1.00 | 9.00 [8.00, 10.00] | 2.50 | 99% | 25% |" in text
    assert "| DEAD; bytes | 8 | 2.00 | 4.00 |" in text
    assert "250 frames/s at batch 1" in text
    assert "DEAD fell out in round 2: HttpError: gone \\| away" in text
    assert "| ABSENT | not measured: cannot be installed: no \\| index | our own environment |" in text
    assert "interrupted" not in text


@pytest.mark.parametrize("changes", [{"complete": False}, {"complete": False, "models": []}])
def test_an_interrupted_run_says_so(changes: dict[str, Any]) -> None:
    assert "The run was interrupted" in render_peers(document(**changes))


def test_without_ours_there_are_no_ratios() -> None:
    made = document()
    made["models"][0]["rows"] = [DEAD]
    assert "ours over" not in render_peers(made)
