"""A recording on disk: what is kept within its limit, and what a disk or a person does to it."""

import os
import stat
from pathlib import Path

import pytest

from siftfunnel.shared.flow_file import TOO_LARGE, WRITE_FAILED, FlowFile, older_file
from siftfunnel.shared.flows import FlowError, FlowRecord, read_flow, write_flow

LINE_BYTES = len(write_flow(FlowRecord(0.5, "c", "up", None, None, b"x" * 60, 9)))


def record(number: int, message_bytes: int = 60) -> FlowRecord:
    return FlowRecord(0.5, "c", "up", None, None, bytes([number]) * message_bytes, 9)


def numbers(*paths: Path) -> list[int | None]:
    """Which records some files hold, None for a line that holds none."""
    found: list[int | None] = []
    for line in (line for path in paths for line in path.read_text().splitlines()):
        try:
            found.append(read_flow(line).message[0])
        except FlowError:
            found.append(None)
    return found


class Clock:
    """Stands still until told."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_full_file_takes_the_older_ones_place_and_the_latest_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    flows = FlowFile(path, limit_bytes=20 * LINE_BYTES)
    for number in range(95):
        assert flows.write(record(number)) is None
        assert path.stat().st_size <= 10 * LINE_BYTES
    flows.close()
    kept = numbers(older_file(path), path)
    assert kept == list(range(95 - len(kept), 95))
    assert 10 < len(kept) <= 20


def test_only_the_owner_may_read_what_is_recorded_before_and_after_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    flows = FlowFile(path, limit_bytes=4 * LINE_BYTES)
    for number in range(5):
        flows.write(record(number))
    flows.close()
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, older_file(path))] == [0o600, 0o600]


def test_a_file_that_is_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "flows.jsonl", tmp_path / "kept.jsonl"
    flows = FlowFile(path, limit_bytes=100 * LINE_BYTES)
    flows.write(record(1))
    path.rename(elsewhere)
    flows.write(record(2))
    path.unlink()
    flows.write(record(3))
    flows.close()
    assert (numbers(elsewhere), numbers(path)) == ([1], [3])


def test_a_recording_is_continued_after_half_a_record(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    path.write_text(write_flow(record(1)) + write_flow(record(2))[:30])
    flows = FlowFile(path, limit_bytes=100 * LINE_BYTES)
    flows.write(record(3))
    flows.write(record(4))
    flows.close()
    assert numbers(path) == [1, None, 3, 4]


def test_a_disk_that_was_full_is_written_again_when_it_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock = tmp_path / "flows.jsonl", Clock()
    flows = FlowFile(path, 100 * LINE_BYTES, clock)
    flows.write(record(1))
    write = os.write
    with monkeypatch.context() as full:

        def half(descriptor: int, data: bytes) -> int:
            if len(data) < LINE_BYTES:
                raise OSError(28, "No space left on device")
            return write(descriptor, data[: len(data) // 2])

        full.setattr(os, "write", half)
        assert flows.write(record(2)) == WRITE_FAILED
        assert flows.problem == f"cannot write {path}: No space left on device"
    assert flows.write(record(3)) == WRITE_FAILED
    clock.now_s = 1.5
    assert flows.write(record(4)) is None
    flows.close()
    assert numbers(path) == [1, None, 4]


def test_a_record_of_more_than_half_the_limit_is_given_up(tmp_path: Path) -> None:
    flows = FlowFile(tmp_path / "flows.jsonl", limit_bytes=4 * LINE_BYTES)
    assert flows.write(record(1, message_bytes=1000)) == TOO_LARGE
    assert flows.write(record(2)) is None
    flows.close()
    assert numbers(tmp_path / "flows.jsonl") == [2]


def test_a_device_or_a_pipe_is_never_moved(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        flows = FlowFile(pipe, limit_bytes=2)
        assert [flows.write(record(number)) for number in range(3)] == [None] * 3
        flows.close()
        assert os.read(reader, 1 << 16).count(b"\n") == 3
    finally:
        os.close(reader)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pipe"]


def test_a_pipe_that_nobody_empties_costs_messages_and_no_time(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device or address"):
        FlowFile(pipe, limit_bytes=2)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        flows = FlowFile(pipe, limit_bytes=2)
        assert flows.write(record(0, message_bytes=1 << 20)) == WRITE_FAILED
        flows.close()
    finally:
        os.close(reader)


def test_a_link_stays_and_its_target_is_what_rotates(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    link, target = tmp_path / "flows.jsonl", tmp_path / "large" / "flows.jsonl"
    link.symlink_to(target)
    flows = FlowFile(link, limit_bytes=4 * LINE_BYTES)
    for number in range(5):
        flows.write(record(number))
    flows.close()
    assert link.is_symlink()
    assert numbers(older_file(target), target) == numbers(older_file(target), link)
    assert not older_file(link).exists()


def test_a_limit_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="limit_bytes must be at least 2"):
        FlowFile(tmp_path / "a", limit_bytes=1)
