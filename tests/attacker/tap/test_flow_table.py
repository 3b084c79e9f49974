"""Whole captures: many connections, reordering, loss, late starts."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siftfunnel.attacker.tap.connection import ConnectionTap
from siftfunnel.attacker.tap.events import ConnectionClosed, ConnectionOpened, Direction, Dropped, Event
from siftfunnel.attacker.tap.flow_table import FlowLimits, FlowTable, UnsureTap
from siftfunnel.attacker.tap.half_flow import ReassemblyLimits
from siftfunnel.attacker.tap.packets import Address, Segment
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.attacker.conftest import FRAMES
from tests.attacker.service import Transcript, frames_heard, messages, overhear, replies_heard
from tests.attacker.tap.wire import (
    ACK,
    CLIENT,
    CLIENT6,
    RST,
    SERVER,
    SERVER6,
    SYN,
    UP_START,
    connection,
    goodbye,
    handshake,
    packets,
    segment_of,
    tcp,
)

ALL_FRAMES = [*FRAMES, *FRAMES, FRAMES[0]]


def played(capture: list[bytes], table: FlowTable | None = None, step_s: float = 0.0001) -> list[Event]:
    """Everything a table tells of a capture; packets come `step_s` apart."""
    table = table or FlowTable(50051)
    events: list[Event] = []
    for number, packet in enumerate(capture):
        segment = segment_of(packet)
        assert isinstance(segment, Segment)
        events += table.receive(segment, number * step_s)
    return events + table.close(len(capture) * step_s, "the capture ends")


def losses(events: list[Event]) -> list[Dropped]:
    return [event for event in events if isinstance(event, Dropped)]


@pytest.mark.parametrize("segment_bytes", [100, 1448, 65_000])
def test_a_captured_connection_gives_what_a_relay_would_hear(
    transcript: Transcript, segment_bytes: int
) -> None:
    events = played(connection(transcript, segment_bytes=segment_bytes))
    relayed = overhear(transcript)
    assert frames_heard(events) == frames_heard(relayed) == ALL_FRAMES
    assert replies_heard(events) == replies_heard(relayed)
    assert losses(events) == []
    opened, closed = events[0], events[-1]
    assert isinstance(opened, ConnectionOpened)
    assert isinstance(closed, ConnectionClosed)
    assert (opened.client, opened.server) == ("10.0.0.2:40000", "10.0.0.3:50051")
    assert (opened.joined_midway, closed.how) == (False, "closed")
    assert closed.traffic.total_bytes == sum(len(data) for _, data in transcript)


def test_reordered_and_repeated_packets_change_nothing(transcript: Transcript) -> None:
    capture = packets(transcript)
    shuffler = random.Random(1)
    for at in range(0, len(capture) - 8, 8):
        window = capture[at : at + 8]
        shuffler.shuffle(window)
        capture[at : at + 8] = window
    repeated = [packet for packet in capture for _ in range(shuffler.choice([1, 1, 2]))]
    events = played([*handshake(), *repeated, *goodbye(transcript)])
    assert frames_heard(events) == ALL_FRAMES
    assert losses(events) == []


def test_lost_packets_are_counted_and_the_rest_is_heard(transcript: Transcript) -> None:
    capture = connection(transcript)
    # which packet that is depends on how gRPC cut its writes this time
    largest = max(FRAMES, key=lambda frame: len(frame.payload)).payload
    number, segment = next(
        (number, segment)
        for number, packet in enumerate(capture)
        if isinstance(segment := segment_of(packet), Segment)
        and segment.payload_bytes > 1000
        and segment.payload in largest
    )
    del capture[number]
    events = played(capture, step_s=0.1)
    heard = frames_heard(events)
    assert len(heard) == len(ALL_FRAMES) - 1
    assert all(frame in ALL_FRAMES for frame in heard)
    missed = [event for event in losses(events) if event.unit == "bytes"]
    assert [(event.count, event.why) for event in missed] == [
        (segment.payload_bytes, "segments that the capture does not hold")
    ]


def test_behind_a_segment_that_only_the_capture_lacks_frames_are_heard_before_their_answers(
    transcript: Transcript,
) -> None:
    capture = connection(transcript)
    frames = [
        number
        for number, packet in enumerate(capture)
        if isinstance(segment := segment_of(packet), Segment)
        and segment.destination.port == SERVER[1]
        and segment.payload_bytes > 1000
    ]
    for lost in frames[:: len(frames) // 5]:
        events = played(capture[:lost] + capture[lost + 1 :], step_s=0.03)
        heard = [
            (event.kind, pb.Frame.FromString(event.message).sequence)
            for event in messages(events)
            if event.kind != "other"
        ]
        unasked = [
            at for at, (kind, n) in enumerate(heard) if kind == "reply" and ("frame", n) not in heard[:at]
        ]
        # a segment may hold the end of one frame and the beginning of another
        assert len(unasked) <= 2


def test_interleaved_connections_are_kept_apart(transcript: Transcript) -> None:
    clients = [("10.0.0.2", 40000 + number) for number in range(5)]
    captures = [connection(transcript, client) for client in clients]
    captures.append(connection(transcript, CLIENT6, SERVER6))
    mixed = [packet for row in zip(*captures, strict=True) for packet in row]
    events = played(mixed)
    assert len(frames_heard(events)) == 6 * len(ALL_FRAMES)
    for opened in [event for event in events if isinstance(event, ConnectionOpened)]:
        own = [event for event in events if getattr(event, "connection", None) == opened.connection]
        assert frames_heard(own) == ALL_FRAMES


def test_a_connection_may_be_met_midway(transcript: Transcript) -> None:
    events = played(packets(transcript)[20:])
    opened = events[0]
    assert isinstance(opened, ConnectionOpened)
    assert opened.joined_midway
    assert opened.client == "10.0.0.2:40000"
    heard = frames_heard(events)
    assert len(heard) > 10
    assert heard == ALL_FRAMES[-len(heard) :]


def server_of(capture: list[bytes], table: FlowTable) -> tuple[str, str]:
    """The server of the last connection, and what told it."""
    opened = [event for event in played(capture, table) if isinstance(event, ConnectionOpened)]
    return opened[-1].server, opened[-1].told_by


@pytest.mark.parametrize("client", [CLIENT, ("10.0.0.2", 61000)])
def test_without_a_port_the_messages_tell_the_server(transcript: Transcript, client: tuple[str, int]) -> None:
    late = packets(transcript, client)[20:]
    events = played(late, FlowTable())
    assert server_of(late, FlowTable()) == ("10.0.0.3:50051", "the shape of its messages")
    assert frames_heard(events) == frames_heard(played(late, FlowTable(50051)))
    assert replies_heard(events) == replies_heard(played(late, FlowTable(50051)))
    assert len(frames_heard(events)) > 10


def test_a_port_or_the_preface_tells_the_server_without_doubt(transcript: Transcript) -> None:
    high = ("10.0.0.3", 61000)
    assert server_of(packets(transcript, server=high), FlowTable()) == ("10.0.0.3:61000", "")
    assert server_of(packets(transcript)[20:], FlowTable(50051)) == ("10.0.0.3:50051", "")


def test_where_nothing_tells_the_port_numbers_are_taken_and_that_is_said(
    secure_transcript: Transcript, transcript: Transcript
) -> None:
    late = packets(secure_transcript)[-6:]
    assert server_of(late, FlowTable()) == ("10.0.0.2:40000", "the port numbers")
    seen_before = connection(transcript, client=("10.0.0.4", 40001))
    assert server_of([*seen_before, *late], FlowTable()) == ("10.0.0.3:50051", "the port numbers")


@given(
    st.lists(
        st.tuples(st.sampled_from(["up", "down"]), st.binary(max_size=200), st.integers(0, 3)), max_size=20
    )
)
@settings(deadline=None)
def test_any_bytes_of_an_unsure_connection_are_accounted_for(
    parts: list[tuple[Direction, bytes, int]],
) -> None:
    ends = Address(b"\x7f\0\0\1", 1), Address(b"\x7f\0\0\1", 2)
    tap = UnsureTap(lambda client: ConnectionTap(str(client), joined_midway=True), *ends, 0.0)
    events: list[Event] = []
    for direction, data, lost_bytes in parts:
        events += tap.receive(direction, data, 0.0)
        events += tap.lose(direction, lost_bytes, 0.0, "test") if lost_bytes else []
    events += tap.close(0.0, "closed")
    opened, closed = events[0], events[-1]
    assert isinstance(opened, ConnectionOpened)
    assert isinstance(closed, ConnectionClosed)
    assert closed.traffic.total_bytes == sum(len(data) + lost for _, data, lost in parts)


def test_the_last_packets_of_a_closed_connection_open_no_new_one(transcript: Transcript) -> None:
    stragglers = [packets(transcript)[-1], goodbye(transcript)[0], goodbye(transcript)[2]]
    events = played([*connection(transcript), *stragglers])
    assert len([event for event in events if isinstance(event, ConnectionOpened)]) == 1


def test_the_same_ports_may_be_used_again(transcript: Transcript) -> None:
    events = played([*connection(transcript), *connection(transcript)])
    names = [event.connection for event in events if isinstance(event, ConnectionOpened)]
    assert names == ["10.0.0.2:40000#1", "10.0.0.2:40000#2"]
    assert len(frames_heard(events)) == 2 * len(ALL_FRAMES)


def test_a_new_syn_replaces_a_connection_whose_end_was_missed(transcript: Transcript) -> None:
    other_start = bytes(tcp(CLIENT, SERVER, 12345, 0, SYN))
    events = played([*handshake(), *packets(transcript), other_start])
    closed = [event.how for event in events if isinstance(event, ConnectionClosed)]
    assert closed == ["replaced by a new connection", "the capture ends"]


def test_a_repeated_syn_is_the_same_connection(transcript: Transcript) -> None:
    events = played([handshake()[0], *connection(transcript)])
    assert len([event for event in events if isinstance(event, ConnectionOpened)]) == 1
    assert frames_heard(events) == ALL_FRAMES


def test_a_reset_ends_a_connection_and_a_stray_one_does_not(transcript: Transcript) -> None:
    stray = bytes(tcp(CLIENT, SERVER, UP_START + (1 << 31), 0, RST))
    real = bytes(tcp(CLIENT, SERVER, UP_START, 0, RST))
    table = FlowTable(50051)
    events = played([*handshake(), stray, real], table)
    assert [event.how for event in events if isinstance(event, ConnectionClosed)] == ["reset"]


def test_segments_that_cannot_belong_to_their_connection_are_counted(transcript: Transcript) -> None:
    foreign = bytes(tcp(CLIENT, SERVER, UP_START + (1 << 30) + 1_000_000, 0, ACK, b"foreign"))
    events = played([*handshake(), *packets(transcript), foreign])
    assert frames_heard(events) == ALL_FRAMES
    assert [(event.count, event.unit, event.why) for event in losses(events)] == [
        (1, "packets", "segments beyond the window of their connection")
    ]


def test_a_lone_acknowledgement_is_no_connection() -> None:
    assert played([bytes(tcp(CLIENT, SERVER, 5, 5, ACK))]) == []


def test_a_hole_waits_no_longer_than_it_may_when_nothing_more_comes(transcript: Transcript) -> None:
    table = FlowTable(50051, reassembly=ReassemblyLimits(wait_s=0.5))
    capture = [*handshake(), *packets(transcript)]
    del capture[25]
    for packet in capture[:30]:
        segment = segment_of(packet)
        assert isinstance(segment, Segment)
        table.receive(segment, 10.0)
    assert losses(table.tick(10.4)) == []
    assert len(losses(table.tick(10.6))) >= 1


def test_the_quietest_connection_is_let_go_when_there_are_too_many() -> None:
    table = FlowTable(50051, flow_limits=FlowLimits(flows=2))
    events: list[Event] = []
    for port in (1, 2, 3):
        segment = segment_of(bytes(tcp(("10.0.0.2", port), SERVER, 5, 0, SYN)))
        assert isinstance(segment, Segment)
        events += table.receive(segment, float(port))
    assert table.connections == 2
    assert [event.why for event in losses(events)] == ["too many at once: the quietest was let go"]


def test_a_silent_connection_is_forgotten() -> None:
    table = FlowTable(50051, flow_limits=FlowLimits(idle_s=10.0))
    played_packets = [segment_of(packet) for packet in handshake()]
    for segment in played_packets:
        assert isinstance(segment, Segment)
        table.receive(segment, 0.0)
    assert table.tick(9.0) == []
    assert [event.how for event in table.tick(11.0) if isinstance(event, ConnectionClosed)] == ["idle"]
    assert table.connections == 0


ENDS = [Address(b"\x0a\0\0\2", 40000), Address(b"\x0a\0\0\3", 50051), Address(b"\x0a\0\0\4", 40000)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(ENDS),
            st.sampled_from(ENDS),
            st.integers(0, (1 << 32) - 1),
            st.integers(0, 63),
            st.binary(max_size=40),
        ),
        max_size=40,
    )
)
@settings(deadline=None)
def test_any_segments_are_survived(segments: list[tuple[Address, Address, int, int, bytes]]) -> None:
    table = FlowTable(50051, flow_limits=FlowLimits(flows=2))
    for number, (source, destination, sequence, flags, payload) in enumerate(segments):
        segment = Segment(source, destination, sequence, 0, flags, payload, len(payload))
        table.receive(segment, float(number))
        table.tick(float(number))
        assert table.connections <= 2
    table.close(99.0, "done")
    assert table.buffered_bytes == 0
