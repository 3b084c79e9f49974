"""The tap against bytes that are damaged, made up, or too much of everything."""

import gzip
import itertools

from hpack import Encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siftfunnel.attacker.tap.connection import ConnectionTap
from siftfunnel.attacker.tap.events import ConnectionClosed, Dropped, Event
from siftfunnel.attacker.tap.limits import TapLimits
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.attacker.service import DIGEST, STREAM, Transcript, messages, overhear, payload

SESSION_FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
SMALL = TapLimits(frame_bytes=4096, message_bytes=2048, buffered_bytes=8192, header_block_bytes=2048, calls=4)
DIRECTION = st.sampled_from(["up", "down"])


@given(st.lists(st.tuples(DIRECTION, st.binary(max_size=2000)), max_size=20), st.booleans())
@settings(deadline=None)
def test_random_bytes_never_raise_and_are_all_accounted_for(transcript: Transcript, midway: bool) -> None:
    events = overhear(transcript, ConnectionTap("c", joined_midway=midway, limits=SMALL))
    closed = events[-1]
    assert isinstance(closed, ConnectionClosed)
    assert closed.traffic.total_bytes == sum(len(data) for _, data in transcript)


@given(st.data())
@settings(SESSION_FIXTURE, max_examples=40)
def test_damaged_recordings_never_raise_and_memory_stays_bounded(
    transcript: Transcript, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(transcript) - 1))
    tap = ConnectionTap("c", joined_midway=data.draw(st.booleans()), limits=SMALL)
    for direction, chunk in transcript[start : start + 20]:
        damaged = bytearray(chunk)
        for _ in range(data.draw(st.integers(0, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        tap.receive(direction, bytes(damaged), 0.0)
        if data.draw(st.booleans()):
            tap.lose(direction, data.draw(st.integers(1, 100_000)), 0.0, "test")
        # Two buffers of a chain of headers each, and the unfinished messages.
        assert tap.buffered_bytes <= 2 * 4 * (4096 + 9) + len(chunk) + 8192
    tap.close(0.0, "closed")


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=300)),
        max_size=40,
    )
)
@settings(deadline=None)
def test_any_sequence_of_frames_is_survived(frames: list[tuple[int, int, int, bytes]]) -> None:
    wire = b"".join(http2_frame(*frame) for frame in frames)
    overhear([("down", http2_frame(4, 0, 0, b"")), ("up", PREFACE + wire), ("down", wire)])


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def http2_frame(kind: int, flags: int, stream_id: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + body


def grpc_message(body: bytes) -> bytes:
    return b"\0" + len(body).to_bytes(4, "big") + body


def heard_from(*frames: bytes, limits: TapLimits | None = None) -> list[Event]:
    return overhear([("up", PREFACE + b"".join(frames))], ConnectionTap("c", limits=limits))


def headers(stream_id: int, *more: tuple[str, str]) -> bytes:
    block = Encoder().encode([(":path", STREAM), ("siftfunnel-bundle", DIGEST), *more])
    return http2_frame(1, 0x04, stream_id, block)


FRAME = pb.Frame(sequence=5, payload=payload(100)).SerializeToString()


@given(st.lists(st.lists(st.integers(0, 3000), min_size=1, max_size=4), min_size=2, max_size=4), st.data())
@settings(deadline=None, max_examples=60)
def test_calls_that_pass_between_one_another_are_each_charged_for_their_own(
    calls: list[list[int]], data: st.DataObject
) -> None:
    waiting: dict[int, list[bytes]] = {}
    for number, sizes in enumerate(calls):
        whole = b"".join(grpc_message(pb.Frame(payload=payload(size)).SerializeToString()) for size in sizes)
        cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=6)))
        pieces = [whole[a:b] for a, b in itertools.pairwise([0, *cuts, len(whole)])]
        waiting[2 * number + 1] = [http2_frame(0, 0, 2 * number + 1, piece) for piece in pieces]
    data_bytes = {stream: sum(map(len, pieces)) for stream, pieces in waiting.items()}
    passed, pings = b"".join(map(headers, waiting)), 0
    handshake_bytes = len(PREFACE + passed)
    while any(waiting.values()):
        passed += waiting[data.draw(st.sampled_from([stream for stream in waiting if waiting[stream]]))].pop(
            0
        )
        passed += http2_frame(6, 0, 0, bytes(8))
        pings += 1
    heard = messages(heard_from(passed))
    charged = {stream: sum(e.wire_bytes for e in heard if e.stream_id == stream) for stream in waiting}
    assert len(heard) == sum(map(len, calls))
    assert all(charged[stream] >= data_bytes[stream] for stream in waiting)
    assert all(event.wire_bytes > len(event.message) for event in heard)
    assert sum(charged.values()) + heard[-1].traffic.handshake_bytes == handshake_bytes + sum(
        data_bytes.values()
    ) + 17 * (pings - 1)


def test_padding_is_not_payload() -> None:
    body = grpc_message(FRAME)
    events = heard_from(headers(1), http2_frame(0, 0x08, 1, bytes([7]) + body + bytes(7)))
    assert [event.message for event in messages(events)] == [FRAME]


def test_a_header_block_may_be_continued() -> None:
    block = Encoder().encode([(":path", STREAM), ("siftfunnel-bundle", DIGEST)])
    events = heard_from(
        http2_frame(1, 0, 1, block[:10]),
        http2_frame(9, 0, 1, block[10:30]),
        http2_frame(9, 4, 1, block[30:]),
        http2_frame(0, 0, 1, grpc_message(FRAME)),
    )
    assert [(event.method, event.digest) for event in messages(events)] == [(STREAM, DIGEST)]


def test_unknown_frame_types_are_stepped_over() -> None:
    events = heard_from(
        headers(1), http2_frame(0xBE, 0xFF, 77, b"what"), http2_frame(0, 0, 1, grpc_message(FRAME))
    )
    assert len(messages(events)) == 1


def test_a_frame_over_the_limit_is_stepped_over_and_counted() -> None:
    events = heard_from(
        headers(1),
        http2_frame(0, 0, 1, bytes(5000)),
        http2_frame(0, 0, 1, grpc_message(FRAME)),
        limits=SMALL,
    )
    assert Dropped("c", 0.0, 1, "messages", "frame over 4096 bytes") in events
    assert [event.message for event in messages(events)] == [FRAME]


def test_a_message_over_the_limit_is_stepped_over_and_counted() -> None:
    long = grpc_message(bytes(3000))
    events = heard_from(headers(1), http2_frame(0, 0, 1, long + grpc_message(FRAME)), limits=SMALL)
    assert Dropped("c", 0.0, 1, "messages", "message over 2048 bytes") in events
    assert [event.message for event in messages(events)] == [FRAME]


def test_a_message_that_inflates_over_the_limit_is_counted_and_the_next_one_is_read() -> None:
    bomb = gzip.compress(bytes(1 << 20))
    events = heard_from(
        headers(1, ("grpc-encoding", "gzip")),
        http2_frame(0, 0, 1, b"\1" + len(bomb).to_bytes(4, "big") + bomb),
        http2_frame(0, 0, 1, grpc_message(FRAME)),
        limits=SMALL,
    )
    assert Dropped("c", 0.0, 1, "messages", "a compressed message of more than 2048 bytes") in events
    assert [event.message for event in messages(events)] == [FRAME]


def test_a_fault_of_ours_costs_one_connection_and_is_counted() -> None:
    def faulty(frame: pb.Frame) -> str | None:
        raise ZeroDivisionError("a bug")

    tap = ConnectionTap("c", settle=faulty)
    block = Encoder().encode([(":path", STREAM)])
    wire = PREFACE + http2_frame(1, 0x04, 1, block) + http2_frame(0, 0, 1, grpc_message(FRAME))
    events = [*tap.receive("up", wire, 0.0), *tap.receive("up", wire, 0.0)]
    events += [*tap.lose("down", 10, 0.0, "test"), *tap.close(0.0, "closed")]
    why = "a fault of the tap itself (ZeroDivisionError: a bug)"
    assert Dropped("c", 0.0, 1, "connections", why) in events
    assert Dropped("c", 0.0, len(wire), "bytes", why) in events
    closed = events[-1]
    assert isinstance(closed, ConnectionClosed)
    assert closed.traffic.total_bytes == 2 * len(wire) + 10


def test_a_declared_size_alone_takes_no_memory() -> None:
    tap = ConnectionTap("c")
    tap.receive("up", PREFACE + headers(1), 0.0)
    tap.receive("up", http2_frame(0, 0, 1, b"\0" + (8 << 20).to_bytes(4, "big")), 0.0)
    assert tap.buffered_bytes == 5


def test_many_unfinished_messages_share_one_budget() -> None:
    parts = [http2_frame(0, 0, s, b"\0" + (2000).to_bytes(4, "big") + bytes(1900)) for s in (1, 3, 5, 7)]
    tap = ConnectionTap("c", limits=TapLimits(buffered_bytes=4000))
    events = tap.receive("up", PREFACE + b"".join(headers(s) for s in (1, 3, 5, 7)) + b"".join(parts), 0.0)
    assert tap.buffered_bytes <= 4000
    assert Dropped("c", 0.0, 1, "messages", "too many unfinished messages at once") in events


def test_more_calls_than_the_limit_cost_the_oldest() -> None:
    events = heard_from(*(headers(stream) for stream in (1, 3, 5, 7, 9)), limits=SMALL)
    why = "too many calls at once: the oldest was forgotten"
    assert [event for event in events if isinstance(event, Dropped)] == [Dropped("c", 0.0, 1, "calls", why)]


def test_an_undecodable_header_block_is_counted_and_later_ones_are_read() -> None:
    events = heard_from(
        http2_frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff"),
        headers(3),
        http2_frame(0, 0, 3, grpc_message(FRAME)),
    )
    assert [event.unit for event in events if isinstance(event, Dropped)] == ["header blocks"]
    assert [event.method for event in messages(events)] == [STREAM]


def test_what_comes_behind_a_reset_still_belongs_to_its_call() -> None:
    reset = http2_frame(3, 0, 1, bytes(4))
    events = heard_from(headers(1), reset, http2_frame(0, 0, 1, grpc_message(FRAME)))
    assert [(event.method, event.digest) for event in messages(events)] == [(STREAM, DIGEST)]
