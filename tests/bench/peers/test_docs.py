"""The table in the docs is the one that the measured figures make."""

import json
from pathlib import Path

import pytest

from siftfunnel.bench.peers.table import render_peers

ROOT = Path(__file__).resolve().parents[3]
MEASURED, TABLE = ROOT / "bench/results/peers.json", ROOT / "docs/tables/bench/peers.md"


@pytest.mark.skipif(not MEASURED.exists(), reason="nothing measured in this checkout")
def test_the_table_in_the_docs_is_generated_from_the_measured_figures() -> None:
    # the drawing comes behind it; tests/bench/tables compares the whole page
    assert TABLE.read_text().startswith(render_peers(json.loads(MEASURED.read_text())))
