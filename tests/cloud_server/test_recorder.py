"""The curious cloud's file: what is in it, and what is left out."""

import stat
from collections import Counter
from pathlib import Path

import pytest

from siftfunnel.cloud_server.recorder import QUEUE_FULL, FlowRecorder, RecorderConfig, wire_bytes
from siftfunnel.shared.flow_file import WRITE_FAILED, older_file
from siftfunnel.shared.flows import FlowRecord, read_flow

METHOD = "/siftfunnel.v1.SplitInference/Stream"
DIGEST = "ab" * 32


class Counts:
    """Counts what a recorder reports."""

    def __init__(self) -> None:
        self.written = 0
        self.dropped: Counter[str] = Counter()

    def on_written(self, count: int) -> None:
        self.written += count

    def on_dropped(self, reason: str, count: int) -> None:
        self.dropped[reason] += count


def recorded(path: Path) -> list[FlowRecord]:
    return [read_flow(line) for line in path.read_text().splitlines()]


def test_messages_are_written_in_order_with_what_they_cost_on_the_wire(tmp_path: Path) -> None:
    counts = Counts()
    path = tmp_path / "flows.jsonl"
    recorder = FlowRecorder(RecorderConfig(path), counts.on_written, counts.on_dropped)
    recorder.record("127.0.0.1:9#1", "up", METHOD, DIGEST, b"frame")
    recorder.record("127.0.0.1:9#1", "down", METHOD, DIGEST, b"reply!")
    recorder.close()
    up, down = recorded(path)
    assert (up.connection, up.direction, up.method, up.digest) == ("127.0.0.1:9#1", "up", METHOD, DIGEST)
    assert (up.message, up.wire_bytes) == (b"frame", 5 + 5 + 9)
    assert (down.direction, down.message) == ("down", b"reply!")
    assert (counts.written, counts.dropped) == (2, {})


def test_a_message_over_several_http2_frames_pays_for_each_header() -> None:
    assert wire_bytes(16384 - 5) == 16384 + 9
    assert wire_bytes(16384 - 4) == 16385 + 18


def test_a_recording_goes_on_at_its_limit_with_the_latest_messages(tmp_path: Path) -> None:
    counts = Counts()
    path = tmp_path / "flows.jsonl"
    recorder = FlowRecorder(RecorderConfig(path, limit_mb=0.004), counts.on_written, counts.on_dropped)
    for number in range(100):
        recorder.record("c", "up", METHOD, DIGEST, bytes([number]))
    recorder.close()
    kept = [record.message[0] for record in (*recorded(older_file(path)), *recorded(path))]
    assert kept == list(range(100 - len(kept), 100))
    assert path.stat().st_size + older_file(path).stat().st_size <= 4000
    assert (counts.written, counts.dropped) == (100, {})


def test_a_full_disk_is_said_once_with_its_file_and_does_not_spoil_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counts = Counts()
    recorder = FlowRecorder(RecorderConfig(Path("/dev/full")), counts.on_written, counts.on_dropped)
    for _ in range(20):
        recorder.record("c", "up", METHOD, DIGEST, b"x")
    recorder.close()
    assert (counts.written, counts.dropped) == (0, {WRITE_FAILED: 20})
    assert caplog.text.count("cannot write /dev/full: No space left on device") == 1


def test_a_queue_that_the_disk_cannot_follow_drops_and_counts(tmp_path: Path) -> None:
    counts = Counts()
    path = tmp_path / "flows.jsonl"
    recorder = FlowRecorder(RecorderConfig(path, queue_limit=1), counts.on_written, counts.on_dropped)
    for _ in range(5000):
        recorder.record("c", "up", METHOD, DIGEST, b"x")
    recorder.close()
    assert counts.written + counts.dropped[QUEUE_FULL] == 5000
    assert counts.written == len(recorded(path))


def test_what_waits_for_the_disk_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    counts = Counts()
    config = RecorderConfig(tmp_path / "flows.jsonl", queue_limit_mb=1.0)
    recorder = FlowRecorder(config, counts.on_written, counts.on_dropped)
    recorder.record("c", "down", METHOD, DIGEST, bytes(2_000_000))
    for _ in range(20):
        recorder.record("c", "down", METHOD, DIGEST, bytes(900))
    recorder.close()
    assert counts.dropped == {QUEUE_FULL: 1}
    assert counts.written == 20


def test_a_second_run_appends_and_only_the_owner_may_read(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    for message in (b"first", b"second"):
        recorder = FlowRecorder(RecorderConfig(path))
        recorder.record("c", "up", METHOD, DIGEST, message)
        recorder.close()
    assert [record.message for record in recorded(path)] == [b"first", b"second"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_limit_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="limit_mb must be above 0"):
        RecorderConfig(tmp_path / "flows.jsonl", limit_mb=0)
