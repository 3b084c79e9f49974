"""The tap against real recorded traffic: whole, cut everywhere, joined late, with holes, damaged."""

import grpc
import pytest

from siftfunnel.attacker.tap.connection import ConnectionTap
from siftfunnel.attacker.tap.events import ConnectionClosed, Dropped, Event, Opaque
from tests.attacker.conftest import FRAMES
from tests.attacker.service import (
    DESCRIBE,
    DIGEST,
    INFER,
    METADATA,
    STREAM,
    Transcript,
    answer,
    frames_heard,
    messages,
    overhear,
    record,
    replies_heard,
)

SERIALISED = [frame.SerializeToString() for frame in FRAMES]


def test_every_frame_and_reply_is_overheard_in_order(transcript: Transcript) -> None:
    events = overhear(transcript)
    assert frames_heard(events) == [*FRAMES, *FRAMES, FRAMES[0]]
    assert replies_heard(events) == [answer(frame) for frame in [*FRAMES, *FRAMES, FRAMES[0]]]
    assert not [event for event in events if isinstance(event, Dropped | Opaque)]


def test_methods_kinds_and_digests_come_from_the_headers(transcript: Transcript) -> None:
    heard = messages(overhear(transcript))
    assert [(event.method, event.kind, event.digest) for event in heard[:3]] == [
        (DESCRIBE, "other", None),
        (DESCRIBE, "other", None),
        (STREAM, "frame", DIGEST),
    ]
    assert {event.digest_source for event in heard[2:]} == {"header"}
    assert (heard[-1].method, heard[-1].kind, heard[-1].digest) == (INFER, "reply", DIGEST)


def test_wire_bytes_add_up_to_the_traffic_without_the_handshake(transcript: Transcript) -> None:
    events = overhear(transcript)
    closed = events[-1]
    assert isinstance(closed, ConnectionClosed)
    up_bytes = sum(len(data) for direction, data in transcript if direction == "up")
    down_bytes = sum(len(data) for direction, data in transcript if direction == "down")
    assert (closed.traffic.up_bytes, closed.traffic.down_bytes) == (up_bytes, down_bytes)
    last_frame, last_reply = messages(events, "frame")[-1], messages(events, "reply")[-1]
    behind = up_bytes - last_frame.traffic.up_bytes + down_bytes - last_reply.traffic.down_bytes
    assert sum(event.wire_bytes for event in messages(events)) == closed.traffic.wire_bytes - behind


def test_a_reply_is_not_charged_for_the_half_of_a_frame_that_is_under_way(transcript: Transcript) -> None:
    tap = ConnectionTap("c")
    whole, halved = overhear(transcript), []
    second, third = (where_frame_passes(transcript, number) for number in (1, 2))
    between, data = transcript[second + 1 : third], transcript[third][1]
    moved = [*transcript[: second + 1], ("up", data[:-100]), *between, ("up", data[-100:])]
    for direction, piece in [*moved, *transcript[third + 1 :]]:
        halved += tap.receive(direction, piece, 0.0)
    costs = [[event.wire_bytes for event in messages(events, "reply")] for events in (whole, halved)]
    assert "down" in [direction for direction, _ in between]
    assert len(data) > 1000
    assert costs[0] == costs[1]


def test_the_handshake_ends_where_the_first_frame_begins(transcript: Transcript) -> None:
    first = messages(overhear(transcript), "frame")[0]
    data_frame = first.traffic.total_bytes - first.traffic.handshake_bytes
    assert data_frame == 9 + 5 + len(first.message) == first.wire_bytes
    # Preface, SETTINGS both ways, a Describe call and the request headers came before.
    assert 500 < first.traffic.handshake_bytes < 1500


def test_nothing_depends_on_where_the_bytes_are_cut(small_transcript: Transcript) -> None:
    whole = overhear(small_transcript)
    assert len(frames_heard(whole)) == 3
    for position in range(sum(len(data) for _, data in small_transcript)):
        assert cut_at(small_transcript, position) == whole


def cut_at(transcript: Transcript, position: int) -> list[Event]:
    tap = ConnectionTap("c")
    events: list[Event] = []
    for second, (direction, data) in enumerate(transcript):
        for part in (data[:position], data[position:]) if 0 < position < len(data) else (data,):
            events += tap.receive(direction, part, float(second))
        position -= len(data)
    return events + tap.close(float(len(transcript)), "closed")


@pytest.mark.parametrize("size", [1, 5, 9, 1448])
def test_nothing_depends_on_the_size_of_the_pieces(transcript: Transcript, size: int) -> None:
    tap = ConnectionTap("c")
    events: list[Event] = []
    for second, (direction, data) in enumerate(transcript):
        for at in range(0, len(data), size):
            events += tap.receive(direction, data[at : at + size], float(second))
    assert events + tap.close(float(len(transcript)), "closed") == overhear(transcript)


def where_frame_passes(transcript: Transcript, number: int) -> int:
    """The piece of a transcript in which a frame ends."""
    return int(messages(overhear(transcript), "frame")[number].time_s)


def test_pieces_do_not_matter_to_a_tap_that_joined_midway(transcript: Transcript) -> None:
    at = where_frame_passes(transcript, 2)
    rest = [("up", transcript[at][1][1000:]), *transcript[at + 1 :]]
    whole = overhear(rest, ConnectionTap("c", joined_midway=True))
    tap = ConnectionTap("c", joined_midway=True)
    events: list[Event] = []
    for second, (direction, data) in enumerate(rest):
        for at in range(0, len(data), 7):
            events += tap.receive(direction, data[at : at + 7], float(second))
    assert events + tap.close(float(len(rest)), "closed") == whole


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages_are_heard_as_what_they_were(compression: grpc.Compression) -> None:
    async def play(stub):
        for frame in FRAMES:
            await stub.Infer(frame, metadata=METADATA, compression=compression)

    passed = record(play)
    assert sum(len(data) for direction, data in passed if direction == "up") < sum(map(len, SERIALISED)) / 2
    assert frames_heard(overhear(passed)) == FRAMES
    # the header that names the compression passed before, or is in a table that was not seen to be made
    joined = overhear(passed[where_frame_passes(passed, 1) + 1 :], ConnectionTap("c", joined_midway=True))
    assert frames_heard(joined)[-4:] == FRAMES[-4:]


# -- joining late ----------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [False, True])
def test_a_tap_may_join_anywhere(transcript: Transcript, inside: bool) -> None:
    whole = overhear(transcript)
    for start in range(1, len(transcript) - 1):
        rest = transcript[start:]
        if inside:
            direction, data = rest[0]
            rest = [(direction, data[len(data) // 2 :]), *rest[1:]]
        heard = overhear(rest, ConnectionTap("c", joined_midway=True))
        # Lost is the message under way, those that share its piece, and one that lacks three successors.
        sharing = sum(event.time_s == start for event in messages(whole, "frame")) if inside else 0
        expected = [event.message for event in messages(whole, "frame") if event.time_s >= start]
        got = [event.message for event in messages(heard, "frame")]
        assert len(got) >= len(expected) - max(2, sharing + 1), start
        assert got == expected[len(expected) - len(got) :], start


def test_joined_midway_method_and_bundle_are_unknown(transcript: Transcript) -> None:
    heard = overhear(transcript[where_frame_passes(transcript, 2) :], ConnectionTap("c", joined_midway=True))
    first = messages(heard, "frame")[0]
    assert (first.method, first.digest, first.digest_source, first.kind) == (None, None, None, "frame")
    assert {event.kind for event in messages(heard)} == {"frame", "reply"}


def test_a_checksum_that_fits_settles_the_bundle_for_the_rest_of_the_call(transcript: Transcript) -> None:
    settled = FRAMES[6].SerializeToString()
    tap = ConnectionTap("c", joined_midway=True, settle=lambda frame: DIGEST if frame == FRAMES[6] else None)
    rest = transcript[where_frame_passes(transcript, 2) :]
    first_call = [event for event in messages(overhear(rest, tap)) if event.stream_id == 3]
    at = [event.message for event in first_call].index(settled)
    assert {(event.digest, event.digest_source) for event in first_call[:at]} == {(None, None)}
    assert {(event.digest, event.digest_source) for event in first_call[at:]} == {(DIGEST, "checksum")}


def test_a_call_begun_after_joining_midway_has_its_new_header_fields(transcript: Transcript) -> None:
    start = next(i for i, (way, data) in enumerate(transcript) if way == "up" and STREAM.encode() in data) + 1
    heard = messages(overhear(transcript[start:], ConnectionTap("c", joined_midway=True)))
    # The Infer call at the end names a path that no earlier header block had.
    assert (heard[-2].method, heard[-2].kind) == (INFER, "frame")


# -- holes -----------------------------------------------------------------------------------------


def test_a_hole_costs_the_messages_it_touches_and_no_more(transcript: Transcript) -> None:
    whole = messages(overhear(transcript), "frame")
    for lost, (direction, data) in enumerate(transcript):
        tap = ConnectionTap("c")
        events: list[Event] = []
        for second, (way, chunk) in enumerate(transcript):
            if second == lost:
                events += tap.lose(direction, len(data), float(second), "test")
            else:
                events += tap.receive(way, chunk, float(second))
        events += tap.close(float(len(transcript)), "closed")
        touched = [event.message for event in whole if event.time_s == lost and direction == "up"]
        got = [event.message for event in messages(events, "frame")]
        assert len(got) >= len(whole) - len(touched) - 1, lost
        assert Dropped("c", float(lost), len(data), "bytes", "test") in events
        assert all(message in [event.message for event in whole] for message in got)
        closed = events[-1]
        assert isinstance(closed, ConnectionClosed)
        assert closed.traffic.total_bytes == sum(len(chunk) for _, chunk in transcript)


def test_a_hole_inside_one_frame_leaves_the_framing_alone(transcript: Transcript) -> None:
    largest = max(FRAMES, key=lambda frame: len(frame.payload)).payload
    # where a payload lies in the writes depends on how gRPC cut them this time
    at, start = next(
        (number, start)
        for number, (way, data) in enumerate(transcript)
        for start in range(0, len(data) - 1448, 100)
        if way == "up" and data[start : start + 1448] in largest
    )
    tap = ConnectionTap("c")
    events: list[Event] = []
    for second, (way, data) in enumerate(transcript):
        if second == at:
            events += tap.receive(way, data[:start], float(second))
            events += tap.lose(way, 1448, float(second), "test")
            data = data[start + 1448 :]
        events += tap.receive(way, data, float(second))
    assert len(frames_heard(events)) == 2 * len(FRAMES)
    assert not [event for event in events if isinstance(event, Opaque)]
    assert Dropped("c", float(at), 1, "messages", "a part of it was missed") in events


# -- what is not gRPC ------------------------------------------------------------------------------


def test_tls_shows_sizes_and_times_only(secure_transcript: Transcript) -> None:
    events = overhear(secure_transcript)
    assert messages(events) == []
    opaque = [event for event in events if isinstance(event, Opaque)]
    assert {event.reason for event in opaque} == {"tls handshake", "tls"}
    assert sum(event.byte_count for event in opaque) == sum(len(data) for _, data in secure_transcript)
    up = [event.byte_count for event in opaque if event.direction == "up" and event.reason == "tls"]
    assert len([size for size in up if 1000 < size < 1100]) == 3


def test_the_tls_handshake_is_kept_apart(secure_transcript: Transcript) -> None:
    events = overhear(secure_transcript)
    closed = events[-1]
    assert isinstance(closed, ConnectionClosed)
    handshake = [event for event in events if isinstance(event, Opaque) and event.reason == "tls handshake"]
    assert closed.traffic.handshake_bytes == sum(event.byte_count for event in handshake)
    # Three frames of 1000 bytes, their replies, and HTTP/2's own setup are left.
    assert 3000 < closed.traffic.wire_bytes < 6000


def test_tls_is_recognised_when_joined_midway(secure_transcript: Transcript) -> None:
    rest = secure_transcript[len(secure_transcript) // 3 :]
    direction, data = rest[0]
    tap = ConnectionTap("c", joined_midway=True)
    events = overhear([(direction, data[10:]), *rest[1:]], tap)
    assert messages(events) == []
    opaque = [event for event in events if isinstance(event, Opaque)]
    assert sum(event.byte_count for event in opaque) == sum(len(chunk) for _, chunk in rest) - 10


def test_http1_is_not_http2() -> None:
    transcript: Transcript = [
        ("up", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("down", b"HTTP/1.1 200 OK\r\n\r\n"),
    ]
    events = overhear(transcript)
    assert [(e.byte_count, e.reason) for e in events if isinstance(e, Opaque)] == [
        (27, "not http2"),
        (19, "not http2"),
    ]
