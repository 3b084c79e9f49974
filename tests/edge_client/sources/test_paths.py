"""Paths on a pipe."""

import os
import threading
from collections.abc import Iterator

import pytest

from siftfunnel.edge_client.errors import SourceError
from siftfunnel.edge_client.sources.paths import PathLines

RUNNING = threading.Event()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for descriptor in (read_end, write_end):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_one_path_per_line_and_the_last_needs_no_end(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    os.write(write_end, "a.png\n\nfolder with space/ä.png\r\nlast.jpg".encode())
    os.close(write_end)
    found = [picture.name for picture in PathLines(read_end).pictures(RUNNING)]
    assert found == ["a.png", "folder with space/ä.png", "last.jpg"]


def test_a_path_is_given_out_as_soon_as_its_line_is_whole(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    pictures = PathLines(read_end).pictures(RUNNING)
    os.write(write_end, b"a.p")
    os.write(write_end, b"ng\nb.png\nc")
    assert [next(pictures).name, next(pictures).name] == ["a.png", "b.png"]


def test_a_stop_ends_it_while_nothing_comes(pipe: tuple[int, int]) -> None:
    stop = threading.Event()
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.extend(PathLines(pipe[0]).pictures(stop)))
    thread.start()
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert got == []


def test_no_lines_give_no_pictures(pipe: tuple[int, int]) -> None:
    os.close(pipe[1])
    assert list(PathLines(pipe[0]).pictures(RUNNING)) == []


def test_a_path_that_is_no_utf_8_is_read_as_it_is(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"caf\xe9/\xff.png\n")
    os.close(pipe[1])
    (found,) = PathLines(pipe[0]).pictures(RUNNING)
    assert os.fsencode(found.name) == b"caf\xe9/\xff.png"


def test_something_else_than_paths_is_refused_before_it_fills_the_memory() -> None:
    with open("/dev/zero", "rb") as zeros, pytest.raises(SourceError, match="expected one path per line"):
        list(PathLines(zeros.fileno()).pictures(RUNNING))
