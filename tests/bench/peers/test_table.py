"""Figures from cells."""

from typing import Any

from siftfunnel.bench.peers.table import Spread, ratio, spread


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


OURS = row("siftfunnel", [cell(1, 8, 200.0, 10.0), cell(2, 8, 220.0, 8.0)])
DEAD = row("dead", [cell(1, 8, 100.0, 40.0)], stopped="round 2: HttpError: gone | away")


def test_ratios_are_of_the_same_round() -> None:
    assert ratio("throughput", OURS, DEAD, 8) == Spread(2.0, 2.0, 2.0)
    assert ratio("p99", OURS, DEAD, 8) == Spread(4.0, 4.0, 4.0)
    assert ratio("throughput", OURS, DEAD, 16) is None
    assert spread(OURS, 8, "frames_per_s") == Spread(210.0, 200.0, 220.0)
