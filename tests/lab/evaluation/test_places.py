import subprocess
from pathlib import Path

import pytest

from siftfunnel.lab.evaluation.places import PlaceError, default_out, require_private_place


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("runs/\n")
    return tmp_path


def test_pictures_of_people_are_not_written_where_git_tracks_them(work_tree: Path) -> None:
    with pytest.raises(PlaceError, match="--allow-tracked-folder"):
        require_private_place(work_tree / "docs" / "audit", "faces")


def test_an_ignored_folder_will_do(work_tree: Path) -> None:
    require_private_place(work_tree / "runs" / "audit-faces", "faces")


def test_a_folder_outside_of_any_work_tree_will_do(tmp_path: Path) -> None:
    require_private_place(tmp_path / "audit", "faces")


def test_drawn_people_may_be_tracked(work_tree: Path) -> None:
    require_private_place(work_tree / "docs", "drawnfaces")


def test_the_refusal_can_be_overruled(work_tree: Path) -> None:
    require_private_place(work_tree / "docs", "faces", allow=True)


def test_the_default_folder_is_ignored_in_this_repository() -> None:
    root = Path(__file__).parents[3]
    assert "runs/" in (root / ".gitignore").read_text().splitlines()
    assert default_out("cifar10-none", "ab" * 32) == Path("runs/audit-cifar10-none-abababab")
