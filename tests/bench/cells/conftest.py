"""A cell that is planned, for tests of what becomes of it."""

from pathlib import Path

import pytest

from siftfunnel.bench.cells.load import Load
from siftfunnel.bench.cells.pictures import read_pictures
from siftfunnel.bench.cells.plan import PlannedCell
from siftfunnel.bench.links.profiles import link_profile
from tests.bench.cells.samples_of_pictures import make_pictures
from tests.tinybundle import make_tiny_bundle


@pytest.fixture
def planned(tmp_path: Path) -> PlannedCell:
    pictures = read_pictures(make_pictures(tmp_path / "pictures"), 6)
    load = Load("SingleStream", 2.0, 2.0)
    return PlannedCell(
        make_tiny_bundle(tmp_path / "tiny"), "split", "q6", link_profile("slow-4g"), load, pictures, 2
    )
