"""Write docs/findings.md or docs/bench.md from its template and the results.

python docs/make_prose.py findings bench        (or: make lab-tables bench-tables)
"""

import sys
from pathlib import Path

from siftfunnel.lab.reports.prose import render_prose

HERE = Path(__file__).resolve().parent
ROOTS = {"findings": HERE.parent / "lab/results", "bench": HERE.parent}
"""From where each template names its files."""

if __name__ == "__main__":
    for name in sys.argv[1:]:
        template = (HERE / f"{name}.in.md").read_text(encoding="utf-8")
        (HERE / f"{name}.md").write_text(render_prose(template, ROOTS[name], HERE), encoding="utf-8")
