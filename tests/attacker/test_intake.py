import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.exchanges import Exchange
from siftfunnel.attacker.intake import Intake
from siftfunnel.attacker.ledger import BundleTally, Ledger
from siftfunnel.attacker.tap.events import ConnectionClosed, Opaque, Overheard, Traffic
from siftfunnel.attacker.tap.shape import BATCH_METHOD
from siftfunnel.attacker.targets import gather
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.attacker.scene import Scene, heard, heard_frame, heard_reply
from tests.tinynetwork import make_own_bundle


class Desk:
    """An intake with its ledger and what it handed over."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.ledger, self.new = scene, Ledger(), list[Exchange]()
        self.intake = Intake(scene.targets(), self.ledger, self.new.append, recordings=["cloud"])

    def tell(self, *events: object, tap: str = "relay") -> None:
        for event in events:
            self.intake.take(tap, event)

    @property
    def tally(self) -> BundleTally:
        return self.ledger.bundles[self.scene.open.name]


@pytest.fixture
def desk(scene: Scene) -> Desk:
    return Desk(scene)


def test_a_frame_and_its_answer_become_one_exchange(desk: Desk, scene: Scene) -> None:
    desk.tell(heard_frame(scene.frame(scene.open, 3), scene.open.digest, wire_bytes=700), heard_reply(3, 1))
    (exchange,) = desk.new
    assert (exchange.sequence, exchange.digest, exchange.tap) == (3, scene.open.digest, "relay")
    assert exchange.answer is not None
    assert exchange.answer.class_index == 1
    assert desk.tally.frames_intercepted == 1
    assert desk.tally.answers_overheard == 1
    assert desk.tally.wire_bytes == 720
    assert {name: codec.wire_bytes for name, codec in desk.tally.codecs.items()} == {"q6": 720}


def test_frames_that_share_a_message_become_exchanges_of_their_own(desk: Desk, scene: Scene) -> None:
    frames = [scene.frame(scene.open, number) for number in (3, 4, 5)]
    sent = [pb.Frame.FromString(frame) for frame in frames]
    replies = [
        pb.Reply(sequence=n, prediction=pb.Prediction(class_index=[1], score=[0.5])) for n in (3, 4, 5)
    ]
    up, down = pb.Frames(frames=sent).SerializeToString(), pb.Replies(replies=replies).SerializeToString()
    desk.tell(heard("up", up, scene.open.digest, wire_bytes=1000, method=BATCH_METHOD))
    desk.tell(heard("down", down, wire_bytes=50, method=BATCH_METHOD))
    assert [exchange.sequence for exchange in desk.new] == [3, 4, 5]
    assert [exchange.payload for exchange in desk.new] == [frame.payload for frame in sent]
    assert all(exchange.answer is not None for exchange in desk.new)
    assert (desk.tally.frames_intercepted, desk.tally.answers_overheard) == (3, 3)
    assert desk.tally.wire_bytes == 1050
    assert sum(exchange.wire_bytes for exchange in desk.new) == 1050


def test_a_resent_frame_counts_once_and_its_bytes_twice(desk: Desk, scene: Scene) -> None:
    frame = scene.frame(scene.open, 3)
    desk.tell(
        heard_frame(frame, scene.open.digest, "c1", 1.0, 700),
        heard_frame(frame, scene.open.digest, "c2", 2.0, 701),
        heard_reply(3, 0, "c2", 2.1),
    )
    assert len(desk.new) == 1
    assert (desk.tally.frames_intercepted, desk.tally.frames_resent) == (1, 1)
    assert desk.tally.answers_overheard == 1
    assert desk.tally.wire_bytes == 700 + 701 + 20


def test_a_frame_refused_for_now_is_answered_when_it_comes_again(desk: Desk, scene: Scene) -> None:
    frame = scene.frame(scene.open, 3)
    desk.tell(heard_frame(frame, scene.open.digest), heard_reply(3, None))
    assert (desk.tally.errors_overheard, desk.tally.answers_overheard) == (1, 0)
    desk.tell(heard_frame(frame, scene.open.digest, time_s=1.5), heard_reply(3, 2, time_s=1.6))
    assert (desk.tally.errors_overheard, desk.tally.answers_overheard) == (1, 1)
    assert desk.tally.frames_intercepted == 1


def test_two_taps_on_one_wire_count_every_frame_and_byte_once(desk: Desk, scene: Scene) -> None:
    frame = heard_frame(scene.frame(scene.open, 3), scene.open.digest, wire_bytes=700)
    desk.tell(frame, heard_reply(3, 1))
    desk.tell(replace(frame, connection="s1"), replace(heard_reply(3, 1), connection="s1"), tap="cloud")
    assert len(desk.new) == 1
    assert (desk.tally.frames_intercepted, desk.tally.frames_resent) == (1, 0)
    assert (desk.tally.answers_overheard, desk.tally.wire_bytes) == (1, 720)


def test_a_tap_on_the_wire_takes_over_from_a_recording_that_was_read_first(desk: Desk, scene: Scene) -> None:
    frame = scene.frame(scene.open, 3)
    desk.tell(heard_frame(frame, scene.open.digest, "s1", wire_bytes=680), tap="cloud")
    desk.tell(heard_reply(3, 1, "s1", wire_bytes=15), tap="cloud")
    assert desk.tally.wire_bytes == 695
    desk.tell(heard_frame(frame, scene.open.digest, wire_bytes=700), heard_reply(3, 1))
    assert (desk.new[0].tap, desk.new[0].connection) == ("relay", "c1")
    assert (desk.tally.frames_intercepted, desk.tally.wire_bytes) == (1, 720)
    assert desk.tally.answers_overheard == 1


def test_a_second_run_of_the_edge_with_the_same_numbers_is_counted_anew(desk: Desk, scene: Scene) -> None:
    frame = scene.frame(scene.open, 0)
    for start in (0.0, 60.0):
        desk.tell(
            heard_frame(frame, scene.open.digest, f"c{start}", start), heard_reply(0, 1, f"c{start}", start)
        )
    assert (desk.tally.frames_intercepted, desk.tally.frames_resent) == (2, 0)


def test_what_passes_after_the_last_message_belongs_to_its_bundle(desk: Desk, scene: Scene) -> None:
    desk.tell(heard_frame(scene.frame(scene.open, 3), scene.open.digest, wire_bytes=700), heard_reply(3, 1))
    desk.tell(
        ConnectionClosed("c1", 2.0, "closed", Traffic(up_bytes=800, down_bytes=400, handshake_bytes=430))
    )
    assert desk.tally.wire_bytes == 800 + 400 - 430


def test_bundles_on_one_connection_are_told_apart(desk: Desk, scene: Scene) -> None:
    desk.tell(
        heard_frame(scene.frame(scene.open, 0), scene.open.digest, wire_bytes=500),
        heard_frame(scene.frame(scene.shut, 1), scene.shut.digest, wire_bytes=60),
        heard_reply(0, 1, wire_bytes=21),
        heard_reply(1, 1, wire_bytes=22),
    )
    assert desk.ledger.bundles[scene.open.name].wire_bytes == 521
    assert desk.ledger.bundles[scene.shut.name].wire_bytes == 82


@pytest.mark.parametrize("digest", ["ab" * 32, None])
def test_a_frame_of_an_unknown_bundle_is_counted_and_not_handed_over(
    desk: Desk, scene: Scene, digest: str | None
) -> None:
    desk.tell(heard_frame(scene.frame(scene.open, 3), digest, wire_bytes=700))
    assert desk.new == []
    stranger = desk.ledger.stranger(digest)
    assert (stranger.frames, stranger.wire_bytes) == (1, 700)


def test_rubbish_is_counted(desk: Desk, scene: Scene) -> None:
    rubbish = heard_frame(b"\xff\xff\xff", scene.open.digest)
    desk.tell(rubbish, heard("down", b"\x08"))
    assert desk.new == []
    assert desk.ledger.malformed_messages == 2


def test_streams_of_one_connection_that_number_alike_keep_their_own_answers(desk: Desk, scene: Scene) -> None:
    frames = [scene.frame(scene.open, 0, picture) for picture in range(3)]
    for stream, frame in enumerate(frames):
        desk.tell(replace(heard_frame(frame, scene.open.digest), stream_id=2 * stream + 1))
    for stream in (2, 0, 1):
        desk.tell(replace(heard_reply(0, stream), stream_id=2 * stream + 1))
    assert [exchange.answer and exchange.answer.class_index for exchange in desk.new] == [0, 1, 2]
    assert desk.tally.answers_overheard == 3


def test_an_answer_that_was_heard_before_its_frame_is_counted_with_it(desk: Desk, scene: Scene) -> None:
    desk.tell(heard_reply(3, 1), heard_frame(scene.frame(scene.open, 3), scene.open.digest, wire_bytes=700))
    assert desk.new[0].answer is not None
    assert (desk.tally.answers_overheard, desk.tally.wire_bytes) == (1, 720)
    desk.tell(heard_reply(4, 1), heard_frame(scene.frame(scene.open, 4), scene.open.digest, wire_bytes=700))
    assert (desk.tally.answers_overheard, desk.tally.wire_bytes) == (2, 2 * 720)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=20))
def test_no_message_from_the_network_is_an_accident(scene: Scene, messages: list[tuple[bool, bytes]]) -> None:
    desk = Desk(scene)
    for is_frame, message in messages:
        desk.tell(heard("up" if is_frame else "down", message, scene.open.digest))
    assert len(desk.new) <= sum(is_frame for is_frame, _ in messages)
    json.dumps(desk.ledger.as_json(), allow_nan=False)


def test_an_answer_is_judged_once_its_true_class_is_known(desk: Desk, scene: Scene) -> None:
    desk.tell(heard_frame(scene.frame(scene.open, 3), scene.open.digest))
    desk.new[0].settle("boris")
    assert desk.tally.answers_labelled == 0
    desk.tell(heard_reply(3, 1))
    assert (desk.tally.answers_labelled, desk.tally.answers_correct) == (1, 1)


def test_an_answer_outside_the_classes_is_wrong_and_no_accident(desk: Desk, scene: Scene) -> None:
    desk.tell(heard_frame(scene.frame(scene.open, 3), scene.open.digest))
    desk.new[0].settle("boris")
    desk.tell(heard_reply(3, 999))
    assert (desk.tally.answers_labelled, desk.tally.answers_correct) == (1, 0)


def test_ciphertext_leaves_sizes_directions_and_times(desk: Desk) -> None:
    for time_s, direction, size in ((10.0, "up", 1200), (10.5, "down", 90)):
        desk.tell(Opaque("c1", time_s, direction, size, "tls", Traffic()))
    told = desk.intake.leftovers["relay"].as_json()
    assert told["records"] == [[-0.5, "up", 1200], [0.0, "down", 90]]
    assert (told["total_bytes"], told["reason"]) == (1290, "tls")


def test_a_reply_without_a_frame_is_no_accident(desk: Desk) -> None:
    desk.tell(heard_reply(5, 1))
    assert desk.ledger.bundles == {}


def test_codecs_that_a_client_invents_share_one_entry_of_the_books(desk: Desk, scene: Scene) -> None:
    for number in range(1000):
        frame = pb.Frame(sequence=number, codec=1000 + number, payload=b"payload%d" % number)
        desk.tell(heard_frame(frame.SerializeToString(), scene.open.digest))
    assert list(desk.tally.codecs) == ["unknown"]


def own_reply(sequence: int, *tensors: pb.Tensor) -> Overheard:
    reply = pb.Reply(sequence=sequence, prediction=pb.Prediction(outputs=tensors))
    return heard("down", reply.SerializeToString())


def test_tensors_of_an_answer_stay_with_their_frame_until_it_is_settled(scene: Scene, tmp_path: Path) -> None:
    bundle = make_own_bundle(tmp_path / "own")
    new: list[Exchange] = []
    ledger = Ledger()
    intake = Intake(gather([bundle.directory], []), ledger, new.append)
    values = np.arange(16, dtype=np.float32)
    good = pb.Tensor(output=0, shape=[16], data=values.tobytes())
    for sequence, tensor in enumerate((good, pb.Tensor(output=0, shape=[15], data=bytes(60)))):
        frame = pb.Frame(sequence=sequence, codec=0, payload=b"12345").SerializeToString()
        intake.take("relay", heard_frame(frame, bundle.digest))
        intake.take("relay", own_reply(sequence, tensor))
    assert new[0].outputs is not None
    assert new[0].outputs["embedding"].tolist() == values.tolist()
    assert new[1].outputs is None  # not what the bundle says
    tally = ledger.bundles["own"]
    assert (tally.answers_overheard, tally.errors_overheard, tally.answers_labelled) == (2, 0, 0)
    new[0].settle("ada")
    intake.judge(new[0])
    assert tally.answers_labelled == 0


def test_a_folder_that_names_no_class_is_no_wrong_answer(desk: Desk, scene: Scene) -> None:
    for sequence, label in enumerate(("ada", "boris", "holiday", None)):
        desk.tell(heard_frame(scene.frame(scene.open, sequence), scene.open.digest), heard_reply(sequence, 0))
        desk.new[-1].label = label
        desk.intake.judge(desk.new[-1])
    assert (desk.tally.answers_labelled, desk.tally.answers_correct) == (2, 1)
