"""One file read or written: only regular ones are read, only regular ones are replaced."""

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from siftfunnel.shared import files
from siftfunnel.shared.files import naming, read_regular, require_place, write_file


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_file(path, "first")
    path.chmod(0o600)
    write_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["figures.json"]


def test_a_device_stays_a_device() -> None:
    write_file(Path("/dev/null"), "gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    write_file(path, "figures")
    reader.join(30)
    assert got == [b"figures"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    for text in ("first", "second"):
        write_file(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "target").read_text() == text


def test_the_file_that_standard_output_goes_to_is_not_replaced(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from siftfunnel.shared.files import write_file\n"
        "print('before'); write_file(Path(sys.argv[1]), 'figures\\n'); print('after')"
    )
    for place in ("/dev/stdout", str(tmp_path / "out")):
        with (tmp_path / "out").open("wb") as out:
            subprocess.run([sys.executable, "-c", program, place], stdout=out, check=True)
        assert (tmp_path / "out").read_text() == "before\nfigures\nafter\n"


def test_what_cannot_be_replaced_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(source: Path, target: Path) -> Path:
        raise OSError(errno.EBUSY, "Device or resource busy")

    path = tmp_path / "mounted.json"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", busy)
    write_file(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["mounted.json"]


def test_a_full_disk_is_named_and_costs_nothing_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "figures.json"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="cannot be written: No space left on device; free some room") as told:
        write_file(path, "new")
    assert told.value.filename == str(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["figures.json"]


def test_a_full_device_is_named() -> None:
    with pytest.raises(OSError, match="No space left on device") as told:
        write_file(Path("/dev/full"), "much")
    assert told.value.filename == "/dev/full"


def test_a_missing_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make its folder first") as told:
        write_file(tmp_path / "nowhere" / "a.json", "x")
    assert told.value.filename == str(tmp_path / "nowhere" / "a.json")


def test_a_broken_pipe_stays_what_it_is() -> None:
    with pytest.raises(BrokenPipeError) as told, naming("standard output"):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    assert told.value.filename is None


def test_a_file_up_to_the_limit_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(ValueError, match="5 bytes, more than 4"):
        read_regular(path, 4)


def test_a_huge_file_a_device_and_a_pipe_are_refused_unread(tmp_path: Path) -> None:
    huge, pipe = tmp_path / "huge", tmp_path / "pipe"
    with huge.open("wb") as file:
        file.truncate(3 * 10**9)
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="3000000000 bytes, more than 16"):
        read_regular(huge, 16)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(ValueError, match="is a device, a pipe or a socket"):
            read_regular(path, 16)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, 16)


def test_a_file_that_grows_while_it_is_read_is_read_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"12")

    def grow(descriptor: int, fstat: Callable[[int], os.stat_result] = os.fstat) -> os.stat_result:
        status = fstat(descriptor)
        with path.open("ab") as writer:
            writer.write(b"3" * 100)
        return status

    reader = files.open_regular(path)
    monkeypatch.setattr(files, "open_regular", lambda opened: reader)
    monkeypatch.setattr(os, "fstat", grow)
    with pytest.raises(ValueError, match="17 bytes, more than 16"):
        read_regular(path, 16)


def test_a_place_that_takes_no_file_is_refused_with_its_flag(tmp_path: Path) -> None:
    for place in (None, tmp_path / "s.json", Path("s.json"), Path("/dev/null")):
        require_place(place, "--summary")
    with pytest.raises(ValueError, match=f"--summary {tmp_path}/nowhere/s.json: no such folder"):
        require_place(tmp_path / "nowhere/s.json", "--summary")
    with pytest.raises(ValueError, match=f"--summary {tmp_path}: is a folder"):
        require_place(tmp_path, "--summary")
