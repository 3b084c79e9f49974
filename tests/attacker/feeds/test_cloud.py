"""Flow records: written by the recorder, read and followed by the cloud feed."""

from pathlib import Path

import pytest

from siftfunnel.attacker.feeds.cloud import CloudFeed, FlowReplay
from siftfunnel.attacker.feeds.config import CloudConfig
from siftfunnel.attacker.feeds.recorder import Recorder, flow_record
from siftfunnel.attacker.tap.events import ConnectionClosed, ConnectionOpened, Event, FeedError, Overheard
from siftfunnel.shared.flow_file import FlowFile, older_file
from siftfunnel.shared.flows import FlowRecord, read_flow, write_flow
from tests.attacker.conftest import FRAMES
from tests.attacker.feeds.sockets import eventually
from tests.attacker.service import DIGEST, STREAM, Transcript, frames_heard, messages, overhear, replies_heard

FRAME = FRAMES[1].SerializeToString()


def flow(
    number: int, connection: str = "c", digest: str | None = DIGEST, method: str | None = STREAM
) -> FlowRecord:
    return FlowRecord(float(number), connection, "up", method, digest, FRAME, 100)


def following(path: Path, sink: list[Event]) -> CloudFeed:
    feed = CloudFeed(CloudConfig(path))
    feed.start(sink.append)
    return feed


def test_what_was_recorded_is_heard_again(transcript: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    original = overhear(transcript)
    recorder = Recorder(path)
    for event in original:
        recorder(event)
    recorder.close()
    assert recorder.messages_written == len(messages(original))
    events: list[Event] = []
    feed = following(path, events)
    assert eventually(lambda: feed.state().messages == len(messages(original)))
    detail = f"read {len(messages(original))} records, waiting for more"
    assert eventually(lambda: feed.state().detail == detail)
    feed.stop()
    assert feed.state().phase == "stopped"
    assert frames_heard(events) == frames_heard(original)
    assert replies_heard(events) == replies_heard(original)
    keys = [(e.time_s, e.kind, e.method, e.digest, e.digest_source, e.wire_bytes) for e in messages(events)]
    assert keys[2:] == [
        (e.time_s, e.kind, e.method, e.digest, e.digest_source, e.wire_bytes) for e in messages(original)[2:]
    ]
    assert isinstance(events[0], ConnectionOpened)
    closed = [event for event in events if isinstance(event, ConnectionClosed)]
    told = sum(event.wire_bytes for event in messages(original))
    assert sum(event.traffic.wire_bytes for event in closed) == told


def test_a_growing_file_is_followed_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    events: list[Event] = []
    feed = following(path, events)
    assert eventually(lambda: "does not exist yet" in feed.state().detail)
    line = write_flow(flow(0)).encode()
    with path.open("wb", buffering=0) as stream:
        stream.write(line + line[:50])
        assert eventually(lambda: feed.state().messages == 1)
        stream.write(line[50:] + line)
        assert eventually(lambda: feed.state().messages == 3)
    feed.stop()
    assert feed.state().dropped == {}


def test_bad_lines_are_counted_and_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    good = write_flow(flow(0))
    path.write_bytes(good.encode() + b"nonsense\n\n\xff\xfe\n{}\n" + good.encode())
    feed = following(path, [])
    assert eventually(lambda: feed.state().messages == 2)
    feed.stop()
    assert feed.state().dropped == {"lines: no flow record": 3}


def test_a_rotated_or_shortened_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    path.write_text(write_flow(flow(0)) * 3)
    feed = following(path, [])
    assert eventually(lambda: feed.state().messages == 3)
    fresh = tmp_path / "fresh"
    fresh.write_text(write_flow(flow(1)))
    fresh.replace(path)
    assert eventually(lambda: feed.state().messages == 4)
    path.write_text("")
    assert eventually(lambda: feed.state().detail.startswith("read 0 records"))
    path.write_text(write_flow(flow(2)))
    assert eventually(lambda: feed.state().messages == 5)
    feed.stop()


def test_a_recording_that_goes_on_in_the_next_file_is_followed_without_a_gap(tmp_path: Path) -> None:
    path, events = tmp_path / "flows.jsonl", list[Event]()
    recording = FlowFile(path, limit_bytes=200_000)
    feed = following(path, events)
    for number in range(400):
        assert recording.write(flow(number)) is None
    recording.close()
    assert older_file(path).exists()
    assert eventually(lambda: feed.state().messages >= 400)
    feed.stop()
    assert [event.time_s for event in messages(events)] == list(range(400))
    assert feed.state().dropped == {}


def test_a_reader_that_falls_behind_reads_the_older_half_before_the_latest(tmp_path: Path) -> None:
    path, events = tmp_path / "flows.jsonl", list[Event]()
    lines = [write_flow(flow(number)) for number in range(4)]
    path.write_text(lines[0])
    feed = following(path, events)
    assert eventually(lambda: feed.state().messages == 1)
    with path.open("a") as stream:
        stream.write(lines[1])
    for name, line in (("second", lines[2]), ("third", lines[3])):
        (tmp_path / name).write_text(line)
    (tmp_path / "second").rename(older_file(path))
    (tmp_path / "third").replace(path)
    assert eventually(lambda: feed.state().messages >= 4)
    feed.stop()
    assert [event.time_s for event in messages(events)] == [0, 1, 2, 3]


def test_a_path_that_can_never_be_a_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="it is a directory"):
        CloudFeed(CloudConfig(tmp_path)).start(lambda event: None)
    with pytest.raises(FeedError, match="there is no directory"):
        CloudFeed(CloudConfig(tmp_path / "no" / "flows")).start(lambda event: None)


def test_an_unknown_bundle_may_be_settled_by_checksum() -> None:
    replay = FlowReplay(lambda frame: DIGEST if frame == FRAMES[1] else None)
    heard = [
        event for event in replay.receive(flow(0, digest=None, method=None)) if isinstance(event, Overheard)
    ]
    assert [(event.kind, event.digest, event.digest_source) for event in heard] == [
        ("frame", DIGEST, "checksum")
    ]


def test_connections_beyond_the_limit_cost_the_oldest() -> None:
    replay = FlowReplay()
    closed = []
    for number in range(1030):
        events = replay.receive(flow(number, connection=f"c{number}"))
        closed += [event.connection for event in events if isinstance(event, ConnectionClosed)]
    assert closed == [f"c{number}" for number in range(6)]


def test_the_recorder_keeps_the_latest_within_its_limit(transcript: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    heard = [event for event in messages(overhear(transcript)) if len(event.message) < 3000]
    line_bytes = 4000
    recorder = Recorder(path, limit_bytes=20 * line_bytes)
    for _ in range(20):
        for event in heard:
            recorder(event)
            assert path.stat().st_size <= 10 * line_bytes
    recorder.close()
    assert older_file(path).stat().st_size <= 10 * line_bytes
    assert path.stat().st_size + older_file(path).stat().st_size > 10 * line_bytes
    kept = [read_flow(line) for file in (older_file(path), path) for line in file.read_text().splitlines()]
    assert [record.message for record in kept[-len(heard) :]] == [event.message for event in heard]
    assert recorder.messages_lost == 0


def test_calls_that_share_a_connection_are_told_apart_in_a_recording(transcript: Transcript) -> None:
    names = {flow_record(event).connection for event in messages(overhear(transcript))}
    assert len(names) == 4


def test_a_recording_is_continued(transcript: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    event = messages(overhear(transcript))[3]
    for _ in range(2):
        recorder = Recorder(path)
        recorder(event)
        recorder.close()
    assert len(path.read_text().splitlines()) == 2


def test_a_message_larger_than_the_limit_is_counted_as_lost(transcript: Transcript, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "flows.jsonl", limit_bytes=1000)
    for event in messages(overhear(transcript)):
        recorder(event)
    recorder.close()
    assert recorder.messages_lost > 0


def test_a_disk_that_cannot_be_written_is_said_and_what_is_lost_is_counted(transcript: Transcript) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    recorder = Recorder(full)
    for event in messages(overhear(transcript))[:3]:
        recorder(event)
    recorder.close()
    assert recorder.problem == "cannot write /dev/full: No space left on device"
    assert recorder.messages_lost == 3


def test_a_limit_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="limit_bytes must be at least 2"):
        Recorder(tmp_path / "a", limit_bytes=1)
