"""Every command of the guides below is executed as a reader would, one folder for each story."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.readme.blocks import ROOT, Block, blocks
from tests.readme.scratch import Scratch

GUIDES = ("operating.md",)


def stories() -> Iterator[tuple[str, str]]:
    for guide in GUIDES:
        names = dict.fromkeys(block.story for block in blocks((ROOT / "docs" / guide).read_text()))
        yield from ((guide, str(name)) for name in names)


def parts(guide: str, story: str) -> list[Block]:
    return [block for block in blocks((ROOT / "docs" / guide).read_text()) if str(block.story) == story]


@pytest.mark.parametrize(("guide", "story"), list(stories()))
def test_a_reader_who_copies_the_blocks_succeeds(guide: str, story: str, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    try:
        for block in parts(guide, story):
            assert scratch.run(block).strip()
    finally:
        scratch.close()
