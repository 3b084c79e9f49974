"""Write docs/findings.md from its template and the results; `make lab-tables` runs this."""

from pathlib import Path

from siftfunnel.lab.tables.findings import render
from siftfunnel.lab.tables.results import RESULTS

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    template = (HERE / "findings.in.md").read_text(encoding="utf-8")
    (HERE / "findings.md").write_text(render(template, RESULTS), encoding="utf-8")
