"""Writes docs/tables/bench/edge.md from bench/results/edge.json: python -m siftfunnel.bench.edge."""

import json
from pathlib import Path

from siftfunnel.bench.edge.table import render_edge

ROOT = Path(__file__).resolve().parents[2]
RESULT, TABLE = ROOT / "bench" / "results" / "edge.json", ROOT / "docs" / "tables" / "bench" / "edge.md"

if __name__ == "__main__":
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(render_edge(json.loads(RESULT.read_text(encoding="utf-8"))), encoding="utf-8")
