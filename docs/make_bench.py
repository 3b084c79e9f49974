"""Write docs/bench.md from its template and the results; `make bench-tables` runs this after the tables."""

from pathlib import Path

from siftfunnel.bench.tables.prose import render_prose

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    template = (HERE / "bench.in.md").read_text(encoding="utf-8")
    (HERE / "bench.md").write_text(render_prose(template, HERE.parent, HERE), encoding="utf-8")
