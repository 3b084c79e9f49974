import numpy as np
import pytest

from siftfunnel.attacker.exchanges import Answer, Exchange, FrameKey
from siftfunnel.attacker.preview import Truth
from siftfunnel.attacker.workshop import (
    Backlog,
    Picks,
    WaitingRoom,
    WorkshopConfig,
    decode_batch,
    invert_batch,
    score,
)
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.attacker.scene import Scene

DIGEST = "ab" * 32


def exchange(number: int = 0, digest: str = DIGEST, payload: bytes = b"12345") -> Exchange:
    return Exchange(number, "relay", "c1", 0.0, digest, number, 5, payload)


def truth(value: int = 128) -> Truth:
    return Truth(DIGEST, 0, 0.0, "ada", np.full((32, 32, 3), value, np.uint8), 0)


@pytest.mark.parametrize("name", ["backlog_frames", "batch_bytes", "waiting_bytes"])
def test_a_bound_below_one_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        WorkshopConfig(**{name: 0})


class Chosen(Picks):
    """Picks these sequences and no other."""

    def __init__(self, *sequences: int) -> None:
        super().__init__(1.0)
        self.sequences = sequences

    def wants(self, sequence: int, now_s: float, room: bool = True) -> bool:
        return sequence in self.sequences


def backlog_of(*picked: int, picture_bytes: int = 0, **bounds: int) -> Backlog:
    return Backlog(WorkshopConfig(**bounds), Chosen(*picked), lambda _: picture_bytes)


def numbers(batch: list[Exchange]) -> list[int]:
    return [each.number for each in batch]


def test_a_full_backlog_keeps_the_newest_frames() -> None:
    backlog = backlog_of(backlog_frames=3)
    gone = [old.number for number in range(5) for old in backlog.put(exchange(number), 0.0)]
    assert gone == [0, 1]
    assert numbers(backlog.take()) == [2, 3, 4]


def test_a_backlog_is_bounded_by_bytes_too_but_never_drops_the_newest() -> None:
    backlog = backlog_of(backlog_bytes=9)
    assert backlog.put(exchange(0), 0.0) == []
    assert numbers(backlog.put(exchange(1), 0.0)) == [0]
    assert numbers(backlog.put(exchange(2, payload=b"x" * 100), 0.0)) == [1]
    assert numbers(backlog.take()) == [2]


def test_a_batch_holds_neighbours_of_one_bundle() -> None:
    backlog = backlog_of(batch_frames=3)
    for number, digest in enumerate(["a", "a", "b", "b", "b", "b"]):
        backlog.put(exchange(number, digest * 64), 0.0)
    assert [numbers(backlog.take()) for _ in range(4)] == [[0, 1], [2, 3, 4], [5], []]


def test_large_pictures_are_inverted_few_at_a_time() -> None:
    backlog = backlog_of(batch_bytes=100, picture_bytes=40)
    for number in range(3):
        backlog.put(exchange(number), 0.0)
    assert [numbers(backlog.take()) for _ in range(2)] == [[0, 1], [2]]
    backlog = backlog_of(batch_bytes=100, picture_bytes=400)
    backlog.put(exchange(0), 0.0)
    assert numbers(backlog.take()) == [0]


def test_what_the_page_is_shown_does_not_wait_behind_what_only_counts() -> None:
    """However long scoring takes, a page shows what passes now; what only counts is made up for later."""
    backlog = backlog_of(90, backlog_frames=60)
    for number in range(100):
        backlog.put(exchange(number), 0.0)
    assert numbers(backlog.take()) == [90]
    assert numbers(backlog.take()) == list(range(40, 48))


def test_no_further_picture_is_picked_while_one_waits() -> None:
    backlog = Backlog(WorkshopConfig(), Picks(1000.0))
    for number in range(10):
        backlog.put(exchange(number), float(number))
    (shown,) = backlog.take()
    assert (shown.number, shown.pictured) == (0, True)
    backlog.put(exchange(10), 10.0)
    assert numbers(backlog.take()) == [10]


def test_payloads_become_pictures_and_bad_ones_are_set_apart(scene: Scene) -> None:
    target = scene.targets().get(scene.open.digest)
    assert target is not None
    frame = pb.Frame.FromString(scene.frame(scene.open, 0))
    good = Exchange(0, "relay", "c1", 0.0, scene.open.digest, 0, frame.codec, frame.payload)
    torn = Exchange(1, "relay", "c1", 0.0, scene.open.digest, 1, frame.codec, frame.payload[:-1])
    alien = Exchange(2, "relay", "c1", 0.0, scene.open.digest, 2, 99, frame.payload)
    decoded, failed = decode_batch(target, [good, torn, alien])
    assert ([each.number for each in decoded], [each.number for each in failed]) == ([0], [1, 2])
    invert_batch(target, decoded)
    assert good.reconstruction_HWC is not None
    assert good.reconstruction_HWC.shape == (32, 32, 3)
    assert float(good.reconstruction_HWC.min()) >= 0.0
    assert float(good.reconstruction_HWC.max()) <= 1.0


def test_a_perfect_reconstruction_scores_zero_error_and_the_cap() -> None:
    perfect = exchange()
    perfect.reconstruction_HWC = np.full((32, 32, 3), 128 / 255, np.float32)
    found = score(perfect, truth(128))
    assert found is not None
    assert (found.mse, found.psnr_db, found.ssim) == (0.0, 100.0, 1.0)


def test_black_for_white_scores_zero_decibels() -> None:
    wrong = exchange()
    wrong.reconstruction_HWC = np.zeros((32, 32, 3), np.float32)
    found = score(wrong, truth(255))
    assert found is not None
    assert found.mse == pytest.approx(1.0)
    assert found.psnr_db == pytest.approx(0.0)


def test_nothing_is_scored_without_both_pictures_at_one_size() -> None:
    rebuilt = exchange()
    assert score(rebuilt, truth()) is None
    rebuilt.reconstruction_HWC = np.zeros((16, 16, 3), np.float32)
    assert score(rebuilt, None) is None
    assert score(rebuilt, truth()) is None


class Room:
    """A waiting room with truths under a test's control."""

    def __init__(self, with_truths: bool = True, **bounds: float) -> None:
        self.truths: dict[int, Truth] = {}
        config = WorkshopConfig(**bounds)
        self.room = WaitingRoom(config, self.take if with_truths else None)

    def take(self, key: FrameKey) -> Truth | None:
        return self.truths.pop(key[1], None)

    def release(self, now_s: float) -> list[tuple[int, bool]]:
        return [(each.number, found is not None) for each, found in self.room.release(now_s)]


def answered(number: int) -> Exchange:
    done = exchange(number)
    done.answer, done.answered_s = Answer(0, 0.5), 0.0
    return done


def test_a_frame_with_original_and_answer_waits_no_longer() -> None:
    room = Room()
    room.room.admit([answered(0), answered(1)], 0.0)
    assert room.release(0.0) == []
    room.truths[1] = truth()
    assert room.release(0.1) == [(1, True)]
    assert len(room.room) == 1


def test_an_original_that_does_not_come_is_not_waited_for_forever() -> None:
    room = Room(truth_wait_s=5.0)
    room.room.admit([answered(0)], 0.0)
    assert room.release(4.9) == []
    assert room.release(5.0) == [(0, False)]


def test_an_answer_that_does_not_come_is_not_waited_for_forever() -> None:
    room = Room(answer_wait_s=2.0)
    room.truths[0] = truth()
    room.room.admit([exchange(0)], 0.0)
    assert room.release(1.9) == []
    assert room.release(2.0) == [(0, True)]


def test_without_a_preview_no_original_is_waited_for() -> None:
    room = Room(with_truths=False)
    room.room.admit([answered(0)], 0.0)
    assert room.release(0.0) == [(0, False)]


def test_a_waiting_room_is_bounded_by_bytes_too_as_large_pictures_fill_it_soon() -> None:
    room = Room(waiting_bytes=2 * 64 * 64 * 12)
    waiting = [answered(number) for number in range(5)]
    for each in waiting:
        each.reconstruction_HWC = np.zeros((64, 64, 3), np.float32)
    room.room.admit(waiting, 0.0)
    assert [number for number, _ in room.release(0.0)] == [0, 1, 2]


def test_a_waiting_room_is_bounded() -> None:
    room = Room(waiting_frames=2)
    room.room.admit([answered(number) for number in range(5)], 0.0)
    assert [number for number, _ in room.release(0.0)] == [0, 1, 2]
