"""What is committed in docs is what the committed results give; what is not measured is left out and said."""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from siftfunnel.bench.links.link import MeasuredLink
from siftfunnel.bench.report.cli import PROJECT
from siftfunnel.bench.report.committed import REGISTRY, all_files
from siftfunnel.bench.stored import as_json
from siftfunnel.cli import main
from siftfunnel.lab.reports.prose import render_prose
from tests.bench.report import made

DOCS = PROJECT / "docs"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with made-up cells, a front and links; without edge, serving and peers."""
    root = tmp_path_factory.mktemp("checkout")
    results = root / "bench" / "results"
    rates = root / "lab" / "results" / "rates"
    for folder in (results, rates, root / "docs"):
        folder.mkdir(parents=True)
    (results / "cells.json").write_text(json.dumps(made.file_of(made.cells())))
    (rates / "drawnfaces.json").write_text(json.dumps(made.front()))
    one = made.cell(*made.WAYS[3])
    assert one.calibration is not None
    link = as_json(MeasuredLink(one.link, "tun", (), one.calibration))
    (results / "links.json").write_text(json.dumps({"provenance": made.PROVENANCE, "links": [link]}))
    return root


@pytest.fixture(scope="module")
def written(checkout: Path) -> dict[str, str]:
    """What `bench tables` writes from it and says, by file; what it says under an empty name."""
    out, said = checkout / "docs" / "tables" / "bench", io.StringIO()
    with contextlib.redirect_stderr(said):
        assert main(["bench", "tables", "--root", str(checkout), "--out", str(out)]) == 0
    return {"": said.getvalue()} | {path.name: path.read_text() for path in out.iterdir()}


def test_what_is_committed_is_what_the_results_give() -> None:
    folder = DOCS / "tables" / "bench"
    committed = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    made_now = all_files(PROJECT, print)
    assert sorted(committed) == sorted(made_now), "run `make bench-tables`, delete what it no longer writes"
    stale = [name for name, text in made_now.items() if facts(name, committed[name]) != facts(name, text)]
    assert stale == [], "run `make bench-tables`"


def facts(name: str, text: str) -> object:
    """What a file says; of a drawing its words, since lines are the drawing library's business."""
    return sorted(re.findall(r"<(?:text|title)[^>]*>([^<]+)<", text)) if name.endswith(".svg") else text


def test_the_page_is_what_its_template_and_the_results_give() -> None:
    template = (DOCS / "bench.in.md").read_text(encoding="utf-8")
    assert render_prose(template, PROJECT, DOCS) == (DOCS / "bench.md").read_text(encoding="utf-8"), (
        "run `make bench-tables`"
    )


MEASURE = re.compile(
    r"\d[\d,.]*(?: |-)?(?:ms|s|dB|%|percent|bytes|KiB|MB|kbit/s|Mbit/s|frames|points|times)\b"
)
DEFINITIONS = ("99 % confidence",)


def test_no_measured_figure_stands_in_the_template() -> None:
    text = (DOCS / "bench.in.md").read_text(encoding="utf-8")
    without = re.sub(r"\{\{.*?\}\}|^ {4}.*$|`[^`]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    for definition in DEFINITIONS:
        without = without.replace(definition, "")
    assert MEASURE.findall(without) == []
    assert MEASURE.findall("p90 of 12.5 ms, 1,024 bytes and 3 %") != []


def test_what_is_there_becomes_pages_and_what_is_not_is_named(written: dict[str, str]) -> None:
    assert set(written) == {
        "",
        "README.md",
        "recommend-drawnfaces.md",
        "recommend.json",
        "cells-drawnfaces.md",
        "cells.json",
        "stages-drawnfaces-singlestream.svg",
        "front-drawnfaces.md",
        "front-drawnfaces.svg",
        "links-all.md",
    }
    for name in ("edge", "serving", "peers", "own-networks", "own-front"):
        assert f"{name}: left out: {REGISTRY[name].place} is not measured yet\n" in written[""]
    assert "peers: other model servers, side by side. Not here: " in written["README.md"]
    assert "2.2 ms round trip" in written["links-all.md"]


def test_every_drawing_a_page_shows_is_written(written: dict[str, str]) -> None:
    shown = {file for text in written.values() for file in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)}
    assert shown == {name for name in written if name.endswith(".svg")}


def test_the_page_regenerates_with_results(checkout: Path, written: dict[str, str]) -> None:
    shutil.copy(DOCS / "bench.in.md", checkout / "docs" / "bench.in.md")
    template = (checkout / "docs" / "bench.in.md").read_text(encoding="utf-8")
    page = render_prose(template, checkout, checkout / "docs")
    assert "20 cells, 20,000 measured frames over 4 links" in page
    assert (
        "![drawnfaces: accuracy and leakage against bytes per frame](tables/bench/front-drawnfaces.svg)"
        in page
    )
    assert "\n#### The fastest way over each link\n" in page
    assert "*Not measured yet: `docs/tables/bench/peers.md`.*" in page
    assert "{{" not in page
    assert "<!--" not in page


def test_a_block_without_its_result_quotes_nothing(tmp_path: Path) -> None:
    template = "<!-- if nowhere.json -->\n{{nowhere : a : d}}\n<!-- end -->\nafter\n"
    assert render_prose(template, tmp_path, tmp_path) == "*Not measured yet: `nowhere.json`.*\nafter\n"
