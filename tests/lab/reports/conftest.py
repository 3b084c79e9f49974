"""What the tests of tables share."""

import shutil
from pathlib import Path

import pytest

from tests.lab.reports.made_up import MINIATURE


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The made-up results where a test may change them."""
    return Path(shutil.copytree(MINIATURE, tmp_path / "results"))
