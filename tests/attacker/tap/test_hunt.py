"""Finding the next frame without a sync word."""

import random
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from siftfunnel.attacker.tap.boundaries import MAX_HUNTED_FRAME_BYTES, Hunt
from siftfunnel.attacker.tap.connection import ConnectionTap
from siftfunnel.attacker.tap.events import Event
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.attacker.service import frames_heard


def frame(kind: int, flags: int, stream_id: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + body


PING = frame(6, 0, 0, bytes(8))
DATA = frame(0, 0, 5, b"abc")
RECORD = b"\x17\x03\x03\x00\x02ab"


def found(data: bytes) -> tuple[int, str] | None:
    return Hunt(0, 1 << 20).search(bytearray(data), 0)


def test_four_headers_in_a_row_are_believed() -> None:
    assert found(b"\xff" * 7 + PING + DATA + PING + DATA) == (7, "frames")
    assert found(b"\xff" * 7 + PING + DATA + PING + DATA[:9]) == (7, "frames")
    assert found(b"\xff" * 7 + PING + DATA + PING + DATA[:8]) is None


def test_three_headers_and_a_lie_are_not() -> None:
    assert found(PING + DATA + PING + b"\xff" * 40) is None


def test_tls_records_are_found_too() -> None:
    assert found(b"\xff" * 5 + RECORD * 4) == (5, "records")


def test_a_long_false_lead_does_not_hide_the_true_chain() -> None:
    false_lead = frame(0, 0, 1, bytes(MAX_HUNTED_FRAME_BYTES - 10))[:9]
    assert found(false_lead + b"\xff" * 20 + (PING + DATA) * 2) == (29, "frames")


def test_many_false_leads_do_not_hide_the_true_chain() -> None:
    false_leads = frame(0, 0, 1, bytes(400_000))[:9] * 200
    assert found(false_leads + (PING + DATA) * 2) == (1800, "frames")


LOW_ENTROPY = st.lists(
    st.sampled_from([b"\0", b"\1", b"\0\0\0", PING, DATA, RECORD, PING[:9], b"\x17\x03\x03\x00"]), max_size=40
).map(b"".join)


@given(LOW_ENTROPY, st.lists(st.integers(1, 30), min_size=1, max_size=5))
@settings(deadline=None)
def test_the_cuts_do_not_matter(data: bytes, sizes: list[int]) -> None:
    buffer, hunt, at, number = bytearray(), Hunt(0, 1 << 20), 0, 0
    in_pieces = None
    while at < len(data) and in_pieces is None:
        size = sizes[number % len(sizes)]
        buffer += data[at : at + size]
        at, number = at + size, number + 1
        in_pieces = hunt.search(buffer, 0)
    assert in_pieces == found(data)


def test_raw_float_features_are_joined_within_a_few_frames() -> None:
    """Float features that passed a ReLU are full of zeros and of what looks like short frame headers."""
    chance = random.Random(7)
    wire, frames = b"", []
    for sequence in range(20):
        values = [max(0.0, chance.gauss(0, 1)) for _ in range(8192)]
        frames.append(pb.Frame(sequence=sequence, codec=1, payload=struct.pack("<8192f", *values) + b"crc!"))
        body = frames[-1].SerializeToString()
        message = b"\0" + len(body).to_bytes(4, "big") + body
        wire += b"".join(frame(0, 0, 1, message[at : at + 16384]) for at in range(0, len(message), 16384))
    tap = ConnectionTap("c", joined_midway=True)
    events: list[Event] = []
    heard_after: list[int] = []
    for number, at in enumerate(range(1000, len(wire), 33_000)):
        events += tap.receive("up", wire[at : at + 33_000], float(number))
        heard_after.append(len(frames_heard(events)))
    assert frames_heard(events) == frames[1:]
    assert heard_after[4] >= 2
