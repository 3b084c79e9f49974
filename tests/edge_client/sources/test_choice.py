"""What the word after --source means."""

import threading
from pathlib import Path

import pytest

from siftfunnel.edge_client.errors import SourceError
from siftfunnel.edge_client.settings import SourceChoice
from siftfunnel.edge_client.sources.choice import open_source
from siftfunnel.edge_client.sources.directory import DirectorySource, WatchedDirectory
from siftfunnel.edge_client.sources.paths import PathLines
from siftfunnel.edge_client.sources.source import IterableSource, Limited, Paced
from tests.edge_client.conftest import write_pictures

RUNNING = threading.Event()


def test_a_directory_a_picture_and_standard_input(tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path, ["a.png"])
    assert isinstance(open_source(SourceChoice(str(tmp_path))), DirectorySource)
    assert isinstance(open_source(SourceChoice(str(tmp_path), watch=True)), WatchedDirectory)
    assert isinstance(open_source(SourceChoice("-")), PathLines)
    picture = open_source(SourceChoice(str(path)))
    assert isinstance(picture, IterableSource)
    assert [each.name for each in picture.pictures(RUNNING)] == [str(path)]


def test_a_number_of_frames_limits_and_cycles(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.png", "b.png"])
    source = open_source(SourceChoice(str(tmp_path), frames=5))
    assert isinstance(source, Limited)
    assert len(list(source.pictures(RUNNING))) == 5


def test_without_a_number_a_directory_is_read_once(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.png", "b.png"])
    assert len(list(open_source(SourceChoice(str(tmp_path))).pictures(RUNNING))) == 2


def test_a_rate_is_laid_over_the_source(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.png"])
    source = open_source(SourceChoice(str(tmp_path), rate_fps=1000.0, frames=3))
    assert len(list(source.pictures(RUNNING))) == 3
    assert isinstance(open_source(SourceChoice(str(tmp_path), rate_fps=5.0)), Paced)


def test_demo_means_the_shipped_pictures(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["ada/1.png"])
    source = open_source(SourceChoice("demo", demo_pictures=tmp_path))
    assert [picture.label for picture in source.pictures(RUNNING)] == ["ada"]
    with pytest.raises(SourceError, match="ships no pictures"):
        open_source(SourceChoice("demo"))


def test_what_lies_beside_the_shipped_pictures_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pictures(tmp_path, ["ada/1.png"])
    (tmp_path / "ABOUT.json").write_text("{}")
    open_source(SourceChoice("demo", demo_pictures=tmp_path))
    assert caplog.messages == []
    open_source(SourceChoice(str(tmp_path)))
    assert len(caplog.messages) == 1


def test_a_place_that_is_nothing_lists_what_it_may_be() -> None:
    with pytest.raises(
        SourceError, match=r"a directory, a picture, a video file or URL, camera:N, demo, - for"
    ):
        open_source(SourceChoice("nowhere"))


@pytest.mark.parametrize("choice", [{"watch": True}, {"shuffle_seed": 1}])
def test_only_a_directory_can_be_watched_or_shuffled(choice: dict[str, bool]) -> None:
    with pytest.raises(SourceError, match="not a directory"):
        open_source(SourceChoice("-", **choice))


def test_combinations_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="--watch"):
        SourceChoice(".", watch=True, shuffle_seed=1)
    with pytest.raises(ValueError, match="frames must be at least 1"):
        SourceChoice(".", frames=0)
    with pytest.raises(ValueError, match="rate"):
        open_source(SourceChoice("-", rate_fps=0.0))
