"""Every block of docs/own-network.md is executed, one after the other, in one folder."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from siftfunnel.shared.bundle import load_bundle
from tests.readme.blocks import ROOT, Block, blocks
from tests.readme.scratch import Scratch

GUIDE = ROOT / "docs" / "own-network.md"
TIMEOUT_S = 1200
STORY = "own"


def guide() -> list[Block]:
    return blocks(GUIDE.read_text(encoding="utf-8"))


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    place = Scratch(tmp_path)
    yield place
    place.close()


def test_every_block_belongs_to_the_story() -> None:
    assert {block.story for block in guide()} == {STORY}
    assert len(guide()) == GUIDE.read_text(encoding="utf-8").count("\n```") / 2


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
def test_a_reader_who_copies_the_blocks_has_a_bundle_that_answers_and_was_attacked(scratch: Scratch) -> None:
    printed = "".join(scratch.run(block) for block in guide())
    folder = scratch.folder
    report = load_bundle(folder / "bundles/people").report()
    # eight pictures of a person are fewer than the page says, and most answers are right all the same
    assert report["agreement"] > 0.8
    assert report["codecs"]["l60"]["payload_bytes_mean"] < 120
    assert 0 < report["edge_mac_share"] < 0.3
    assert re.search(r"^ok +people", printed, re.MULTILINE)
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    right = [answer["top"][0]["class"] == answer["label"] for answer in answers]
    assert sum(right) > 0.8 * len(right)
    assert (folder / "people.svg").read_text().startswith("<svg")
    assert (folder / "runs/audit/report.html").is_file()
    assert (folder / "inverters/people/inverter.onnx").is_file()


def test_the_pages_files_are_there() -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", GUIDE.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if "://" not in link and not (GUIDE.parent / link).is_file()] == []
