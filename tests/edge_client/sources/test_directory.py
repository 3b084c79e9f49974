"""Directories: labels, order, cycling, and files that are still being written."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path

import pytest

from siftfunnel.edge_client.errors import SourceError
from siftfunnel.edge_client.sources.directory import DirectorySource, WatchedDirectory
from tests.edge_client.conftest import write_pictures

RUNNING = threading.Event()


def names(source: DirectorySource, count: int | None = None) -> list[str]:
    return [Path(picture.name).name for picture in islice(source.pictures(RUNNING), count)]


def test_sub_folders_are_labels(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["cat/1.png", "cat/deep/2.png", "dog/3.png", "4.png"])
    found = [(Path(p.name).name, p.label) for p in DirectorySource(tmp_path).pictures(RUNNING)]
    assert found == [("4.png", None), ("1.png", "cat"), ("2.png", "cat"), ("3.png", "dog")]


def test_a_directory_may_be_a_text(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.png"])
    assert names(DirectorySource(str(tmp_path))) == ["a.png"]
    assert WatchedDirectory(str(tmp_path)).directory == tmp_path


def test_what_is_no_picture_or_hidden_is_left_alone(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.PNG", "b.jpg", ".hidden.png", ".git/c.png"])
    (tmp_path / "notes.txt").write_text("hello")
    assert names(DirectorySource(tmp_path)) == ["a.PNG", "b.jpg"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write_pictures(tmp_path / "elsewhere", ["1.png"])
    write_pictures(tmp_path / "set", ["dog/2.png"])
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "dog" / "up").symlink_to(tmp_path / "set")
    found = [(Path(p.name).name, p.label) for p in DirectorySource(tmp_path / "set").pictures(RUNNING)]
    assert found == [("1.png", "cat"), ("2.png", "dog")]


def test_a_seed_shuffles_the_same_way_each_time(tmp_path: Path) -> None:
    write_pictures(tmp_path, [f"{number}.png" for number in range(8)])
    ordered = names(DirectorySource(tmp_path))
    shuffled = names(DirectorySource(tmp_path, shuffle_seed=3))
    assert shuffled == names(DirectorySource(tmp_path, shuffle_seed=3))
    assert shuffled != ordered
    assert shuffled != names(DirectorySource(tmp_path, shuffle_seed=4))
    assert sorted(shuffled) == ordered


def test_a_cycling_directory_begins_again(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.png", "b.png"])
    assert names(DirectorySource(tmp_path, cycling=True), 5) == ["a.png", "b.png", "a.png", "b.png", "a.png"]


def test_an_empty_directory_is_an_error_that_says_what_counts(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match=r"no picture in it.*\.png"):
        DirectorySource(tmp_path)


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere: no such directory"):
        DirectorySource(tmp_path / "nowhere")


def test_a_stop_ends_it(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.png"])
    stop = threading.Event()
    pictures = DirectorySource(tmp_path, cycling=True).pictures(stop)
    next(pictures)
    stop.set()
    assert list(pictures) == []


def test_a_watched_file_is_taken_once_it_stopped_changing(tmp_path: Path) -> None:
    watched = WatchedDirectory(tmp_path)
    (source,) = write_pictures(tmp_path / "elsewhere", ["a.png"])
    whole = source.read_bytes()
    target = tmp_path / "a.png"
    source.unlink()
    target.write_bytes(b"")
    assert watched.settled() == []
    target.write_bytes(whole[:50])
    assert watched.settled() == []
    target.write_bytes(whole)
    assert watched.settled() == []
    assert watched.settled() == [target]
    assert watched.settled() == []


def test_a_watched_file_that_changes_later_is_a_new_picture(tmp_path: Path) -> None:
    watched = WatchedDirectory(tmp_path)
    (target,) = write_pictures(tmp_path, ["cat/latest.png"])
    watched.settled()
    assert watched.settled() == [target]
    target.write_bytes(target.read_bytes() + b"\0")
    assert watched.settled() == []
    assert watched.settled() == [target]


def test_watching_forgets_files_that_are_gone(tmp_path: Path) -> None:
    watched = WatchedDirectory(tmp_path)
    (target,) = write_pictures(tmp_path, ["a.png"])
    watched.settled()
    assert watched.settled() == [target]
    target.unlink()
    watched.settled()
    assert watched._given == {}


def test_watching_gives_what_is_there_and_then_what_comes(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["first.png"])
    stop = threading.Event()
    pictures = WatchedDirectory(tmp_path, poll_s=0.01).pictures(stop)
    assert Path(next(pictures).name).name == "first.png"
    write_pictures(tmp_path, ["dog/second.png"])
    second = next(pictures)
    assert (Path(second.name).name, second.label) == ("second.png", "dog")
    stop.set()
    assert list(pictures) == []


def test_files_that_are_no_pictures_by_their_names_are_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pictures(tmp_path, ["a.png", "b.jpe", "c.jfif"])
    for name in ("notes.txt", "more.TXT", "clip.mov", "README"):
        (tmp_path / name).touch()
    assert names(DirectorySource(tmp_path)) == ["a.png", "b.jpe", "c.jfif"]
    assert "4 files passed over" in caplog.text
    assert ".txt 2" in caplog.text
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "clip.mov").touch()
    with pytest.raises(SourceError, match=r"no picture in it.*1 file passed over.*\.mov 1"):
        DirectorySource(tmp_path / "only")


def unreadable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder be one that may not be read, for root too."""
    scan = os.scandir

    def refuse(path: str) -> AbstractContextManager[Iterator["os.DirEntry[str]"]]:
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)


def test_a_folder_that_may_not_be_read_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_pictures(tmp_path, ["cat/1.png", "lost+found/2.png"])
    unreadable(tmp_path / "lost+found", monkeypatch)
    assert names(DirectorySource(tmp_path)) == ["1.png"]
    assert "lost+found: cannot be read: Permission denied; passed over" in caplog.text


def test_watching_goes_on_when_a_folder_goes_away_or_may_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = tmp_path / "inbox"
    write_pictures(inbox, ["cat/1.png"])
    watched = WatchedDirectory(inbox)
    with monkeypatch.context() as patched:
        unreadable(inbox / "cat", patched)
        assert watched.settled() == []
    inbox.rename(tmp_path / "unplugged")
    assert watched.settled() == []
    assert watched.settled() == []
    assert caplog.text.count("no such directory") == 1
    (tmp_path / "unplugged").rename(inbox)
    watched.settled()
    assert watched.settled() == [inbox / "cat" / "1.png"]


def test_names_that_are_no_utf_8_are_pictures_too(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(odd)
    (picture,) = write_pictures(tmp_path, ["a.png"])
    os.rename(picture, odd + b"/\xff.png")
    (found,) = DirectorySource(tmp_path).pictures(RUNNING)
    assert os.fsencode(found.name) == odd + b"/\xff.png"
    assert found.label == "caf\udce9"
